using CampaignService.Common;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>An event as it is kept.</summary>
/// <param name="Seq">Its place in the log.</param>
/// <param name="Number">In its public id.</param>
/// <param name="Type">What happened.</param>
/// <param name="Subject">To what, when that is described on reading.</param>
/// <param name="Person">Whose it is, or whose id it names.</param>
/// <param name="Detail">A word about it, such as the topic of an engagement.</param>
/// <param name="Data">The object as it was, when that was written down.</param>
/// <param name="At">When.</param>
public sealed record EventRow(long Seq, long Number, EventType Type, long? Subject, string? Person, string? Detail, string? Data, DateTimeOffset At)
{
    /// <summary>What <see cref="Of"/> reads, in its order.</summary>
    internal const string Columns = "v.seq, v.id, v.type, v.subject, v.person, v.detail, v.data, v.at, v.subjects";

    /// <summary>Of events in runs, which have no number of their own: their place in the log, with a bit that others, which begin with a time, have only from the year 2058 on.</summary>
    private const long NumberOfRuns = 1L << 62;

    public string PublicId => Ids.FromNumber(Ids.Event, Number);

    /// <summary>
    /// The places and types of all events of a row of the log, for a lateral join. Direct sends that were committed together are one row, a run: of each notification
    /// in turn that it was made and that it is completed, and the row has the place of the last. Any other row is one event.
    /// </summary>
    /// <param name="row">The row's name, with <c>seq</c>, <c>type</c> and <c>subjects</c>.</param>
    internal static string EachOf(string row) => $"""
        (SELECT {row}.seq, {row}.type WHERE {row}.subjects IS NULL
         UNION ALL SELECT {row}.seq - 2 * cardinality({row}.subjects) + k, CASE WHEN k % 2 = 1 THEN {(short)EventType.NotificationCreated} ELSE {(short)EventType.NotificationCompleted} END
         FROM generate_series(1, 2 * cardinality({row}.subjects)) AS k)
        """;

    /// <summary>The event with this place.</summary>
    /// <param name="reader">Stands on the row of the log that the delivery names, or on none.</param>
    /// <param name="at">Where the row's <see cref="Columns"/> begin.</param>
    /// <param name="seq">The place.</param>
    /// <returns>Null when the row does not hold it: it is kept no longer.</returns>
    public static EventRow? Find(NpgsqlDataReader reader, int at, long seq) => reader.IsDBNull(at) ? null : Of(reader, at, after: seq - 1).FirstOrDefault(e => e.Seq == seq);

    /// <summary>The events of a row of the log behind a place.</summary>
    /// <param name="reader">Stands on the row.</param>
    /// <param name="at">Where its <see cref="Columns"/> begin.</param>
    /// <param name="after">The place.</param>
    public static IEnumerable<EventRow> Of(NpgsqlDataReader reader, int at = 0, long after = 0)
    {
        var (last, time) = (reader.GetInt64(at), reader.GetFieldValue<DateTimeOffset>(at + 7));
        if (reader.IsDBNull(at + 8))
        {
            yield return new(last, reader.GetInt64(at + 1), (EventType)reader.GetInt16(at + 2), reader.IsDBNull(at + 3) ? null : reader.GetInt64(at + 3),
                TextOf(reader, at + 4), TextOf(reader, at + 5), TextOf(reader, at + 6), time);
            yield break;
        }
        var subjects = reader.GetFieldValue<long[]>(at + 8);
        var first = last - (2 * subjects.Length) + 1;
        for (var seq = Math.Max(first, after + 1); seq <= last; seq++)
        {
            var (subject, isCompleted) = Math.DivRem((int)(seq - first), 2);
            yield return new(seq, NumberOfRuns | seq, isCompleted == 1 ? EventType.NotificationCompleted : EventType.NotificationCreated, subjects[subject], null, null, null, time);
        }
    }

    private static string? TextOf(NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
}
