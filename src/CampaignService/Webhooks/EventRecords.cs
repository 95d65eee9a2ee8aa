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
        // webhook_attempts' key, by webhook of the app: those of a week
        batch.BatchCommands.Add(Command("""
            UPDATE webhook_attempts SET person = NULL, answer = NULL WHERE webhook_no IN (SELECT no FROM webhooks WHERE app_no = $1) AND person = $2
            """, person));
        await batch.ExecuteNonQueryAsync(ct);
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
            var row = EventRow.Of(reader);
            yield return new { Id = row.PublicId, Type = row.Type.Wire(), Timestamp = row.At, Topic = row.Detail };
        }
    }

    private static NpgsqlBatchCommand Command(string sql, Person person) => new(sql) { Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } } };
}
