using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>Removes what is older than the log and the lists of attempts are kept, in small transactions. Die here: what is gone is gone, and the next turn does the rest.</summary>
public sealed class EventRetention(NpgsqlDataSource source, IOptions<EventRetentionSettings> settings, ILogger<EventRetention> log) : BackgroundService
{
    private const int RowsAtOnce = 5_000;

    public async Task PruneAsync(CancellationToken ct)
    {
        // Deleted webhooks, and what was put in line while one was being disabled. webhooks' index on no
        await ExecuteAsync("DELETE FROM webhook_deliveries d WHERE NOT EXISTS (SELECT 1 FROM webhooks e WHERE e.no = d.webhook_no AND e.enabled)", ct);
        if (settings.Value.EventsDays > 0)
        {
            // From the oldest of each app on: they stand in the order of their time, but for seconds. events' key
            foreach (var app in await NumbersAsync("app_no", "events", ct))
            {
                await RepeatAsync($"""
                    WITH gone AS (
                      DELETE FROM events WHERE app_no = $1 AND seq IN (SELECT seq FROM events WHERE app_no = $1 ORDER BY seq LIMIT {RowsAtOnce})
                        AND at < clock_timestamp() - make_interval(days => $2) RETURNING seq),
                    mark AS (
                      INSERT INTO pruned_events (app_no, seq) SELECT $1, max(seq) FROM gone HAVING max(seq) IS NOT NULL
                      ON CONFLICT (app_no) DO UPDATE SET seq = greatest(pruned_events.seq, excluded.seq))
                    SELECT count(seq)::integer FROM gone
                    """, app, settings.Value.EventsDays, ct);
            }
        }
        if (settings.Value.AttemptsDays == 0) return;
        // webhook_attempts' key: ids carry their time
        foreach (var webhook in await NumbersAsync("webhook_no", "webhook_attempts", ct))
        {
            await RepeatAsync($"""
                DELETE FROM webhook_attempts WHERE webhook_no = $1 AND id IN (
                  SELECT id FROM webhook_attempts WHERE webhook_no = $1 AND id < id_at(clock_timestamp() - make_interval(days => $2)) ORDER BY id LIMIT {RowsAtOnce})
                """, webhook, settings.Value.AttemptsDays, ct);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromHours(1));
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await PruneAsync(stoppingToken);
            }
            catch (NpgsqlException e)
            {
                log.LogWarning(e, "Old events could not be removed; trying again in an hour");
            }
        }
    }

    /// <summary>The different first parts of a table's key, from one to the next.</summary>
    private async Task<IReadOnlyList<int>> NumbersAsync(string column, string table, CancellationToken ct)
    {
        await using var command = source.CreateCommand($"""
            WITH RECURSIVE found (no) AS (
              SELECT (SELECT {column} FROM {table} ORDER BY {column} LIMIT 1)
              UNION ALL
              SELECT (SELECT t.{column} FROM {table} t WHERE t.{column} > f.no ORDER BY t.{column} LIMIT 1) FROM found f WHERE f.no IS NOT NULL)
            SELECT no FROM found WHERE no IS NOT NULL
            """);
        var numbers = new List<int>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) numbers.Add(reader.GetInt32(0));
        return numbers;
    }

    private async Task RepeatAsync(string delete, int no, int days, CancellationToken ct)
    {
        for (var gone = RowsAtOnce; gone == RowsAtOnce;) gone = await ExecuteAsync(delete, ct, no, days);
    }

    private async Task<int> ExecuteAsync(string sql, CancellationToken ct, params int[] parameters)
    {
        await using var command = source.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        await using var reader = await command.ExecuteReaderAsync(ct);
        // With a mark it is a query that tells how many.
        return await reader.ReadAsync(ct) ? reader.GetInt32(0) : reader.RecordsAffected;
    }
}
