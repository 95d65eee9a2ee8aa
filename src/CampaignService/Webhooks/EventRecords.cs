using System.Runtime.CompilerServices;
using CampaignService.Users;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>
/// The events of one person's acts, which go with them, and those of campaigns in their name, which lose it. What receivers answered
/// to such events goes, too: it may repeat them.
/// </summary>
public sealed class EventRecords(NpgsqlDataSource source) : IPersonalData
{
    /// <summary>In place of what was wrong, which may quote the receiver.</summary>
    public const string ErasedError = "It failed. Why is not kept: the person whose event it was is erased.";

    public string Kind => "events";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.Timeout = 0;
        // First the outbox: what the sequencer takes out of it meanwhile is in the log by then.
        foreach (var table in new[] { "outbox_events", "events" })
        {
            // the whole outbox, which is short; events_person
            batch.BatchCommands.Add(Command($"DELETE FROM {table} WHERE app_no = $1 AND person = $2 AND data IS NULL", person));
            batch.BatchCommands.Add(Command($$"""UPDATE {{table}} SET person = NULL, data = (data::jsonb || '{"senderId": null}')::text WHERE app_no = $1 AND person = $2""", person));
        }
        await batch.ExecuteNonQueryAsync(ct);
        // Only now, and in a transaction of its own: it reads the attempts of a week, and nobody is to wait for that. What is written from here on finds no
        // person at its event, so it names none. webhook_attempts' key, by webhook of the app
        await using var attempts = source.CreateBatch();
        attempts.Timeout = 0;
        attempts.BatchCommands.Add(Command("""
            UPDATE webhook_attempts SET person = NULL, answer = NULL, error = CASE WHEN error IS NOT NULL THEN $3 END
            WHERE webhook_no IN (SELECT no FROM webhooks WHERE app_no = $1) AND person = $2
            """, person));
        attempts.BatchCommands[0].Parameters.Add(new() { Value = ErasedError });
        await attempts.ExecuteNonQueryAsync(ct);
        return Enumerable.Range(0, 4).Sum(i => (long)batch.BatchCommands[i].RecordsAffected);
    }

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        // events_person
        await using var command = source.CreateCommand($"SELECT {EventRow.Columns} FROM events v WHERE app_no = $1 AND person = $2 ORDER BY seq");
        command.Parameters.Add(new() { Value = person.AppNo });
        command.Parameters.Add(new() { Value = person.UserId });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var row = EventRow.Of(reader).Single();
            yield return new { Id = row.PublicId, Type = row.Type.Wire(), Timestamp = row.At, Topic = row.Detail };
        }
    }

    private static NpgsqlBatchCommand Command(string sql, Person person) => new(sql) { Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } } };
}
