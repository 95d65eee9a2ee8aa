using CampaignService.Common;

namespace CampaignService.Webhooks;

/// <summary>
/// Puts the data of events together that are kept without it, by what they name: so a send or a mark writes no text, and what is erased is
/// in no event either.
/// </summary>
public interface IEventSubjects
{
    bool Owns(EventType type);

    /// <summary>The objects as they were at the time of each event.</summary>
    /// <returns>By <see cref="EventRow.Seq"/>; what is gone is not in it.</returns>
    ValueTask<IReadOnlyDictionary<long, RawJson>> DescribeAsync(int appNo, IReadOnlyList<EventRow> events, CancellationToken ct);
}

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
    internal const string Columns = "v.seq, v.id, v.type, v.subject, v.person, v.detail, v.data, v.at";

    public string PublicId => Ids.FromNumber(Ids.Event, Number);

    /// <param name="reader">Stands on a row.</param>
    /// <param name="at">Where its <see cref="Columns"/> begin.</param>
    public static EventRow Of(Npgsql.NpgsqlDataReader reader, int at = 0) => new(reader.GetInt64(at), reader.GetInt64(at + 1), (EventType)reader.GetInt16(at + 2),
        reader.IsDBNull(at + 3) ? null : reader.GetInt64(at + 3), TextOf(reader, at + 4), TextOf(reader, at + 5), TextOf(reader, at + 6), reader.GetFieldValue<DateTimeOffset>(at + 7));

    private static string? TextOf(Npgsql.NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
}
