using CampaignService.Common;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>The attempts to deliver events to a webhook.</summary>
public sealed class WebhookAttempts(NpgsqlDataSource source)
{
    /// <summary>Those below a number, newest first.</summary>
    public async Task<IReadOnlyList<(long Number, AttemptView View)>> TakeAsync(int webhookNo, long before, int limit, CancellationToken ct)
    {
        // webhook_attempts' key, backwards
        await using var command = source.CreateCommand("""
            SELECT id, event_id, type, attempt, status, error, answer, took_ms, at, next_at FROM webhook_attempts WHERE webhook_no = $1 AND id < $2 ORDER BY id DESC LIMIT $3
            """);
        command.Parameters.Add(new() { Value = webhookNo });
        command.Parameters.Add(new() { Value = before });
        command.Parameters.Add(new() { Value = limit });
        var rows = new List<(long, AttemptView)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            rows.Add((reader.GetInt64(0), new AttemptView(Ids.FromNumber(Ids.Attempt, reader.GetInt64(0)), Ids.FromNumber(Ids.Event, reader.GetInt64(1)), ((EventType)reader.GetInt16(2)).Wire(),
                reader.GetInt16(3), reader.IsDBNull(5), reader.IsDBNull(4) ? null : reader.GetInt32(4), reader.IsDBNull(5) ? null : reader.GetString(5),
                reader.IsDBNull(6) ? null : reader.GetString(6), reader.GetInt32(7), reader.GetFieldValue<DateTimeOffset>(8), reader.IsDBNull(9) ? null : reader.GetFieldValue<DateTimeOffset>(9))));
        }
        return rows;
    }
}
