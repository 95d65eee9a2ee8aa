using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>Settings under <c>Retention__</c>.</summary>
public sealed class RetentionSettings
{
    /// <summary>For how many days feeds keep what was sent; 0 = for ever.</summary>
    [Range(0, 36_500)]
    public int FeedDays { get; init; }
}

/// <summary>
/// Makes the feed's monthly partitions ahead of time, for without one for the month no feed row could be written, and removes what is
/// older than the feed is kept. Receipts stand in tables of their own and ledgers in those of delivery: neither changes by this.
/// </summary>
public sealed class FeedPartitions(NpgsqlDataSource source, IOptions<RetentionSettings> retention, ILogger<FeedPartitions> log) : BackgroundService
{
    private const int MonthsAhead = 3;

    /// <summary>Rows that one transaction looks at, so that nobody waits long for those that it deletes.</summary>
    private const int RowsAtOnce = 5_000;

    public async Task CreateAsync(CancellationToken ct)
    {
        await using var command = source.CreateCommand("SELECT create_feed_partitions($1)");
        command.Parameters.Add(new() { Value = MonthsAhead });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Drops the months that are wholly too old and deletes the old rows of the month in which the limit falls. One process does so at a
    /// time, the others have nothing to do. Die here: what is gone is gone, and the next turn does the rest.
    /// </summary>
    public async Task PruneAsync(CancellationToken ct)
    {
        if (retention.Value.FeedDays == 0) return;
        await using var connection = await source.OpenConnectionAsync(ct);
        // A lock of the session, which ends with it, however that ends.
        await using var tryLock = new NpgsqlCommand("SELECT pg_try_advisory_lock(hashtext('prune_feed'))", connection);
        if (!(bool)(await tryLock.ExecuteScalarAsync(ct))!) return;
        try
        {
            foreach (var (partition, isWholly, limit) in await OldAsync(connection, ct))
            {
                if (isWholly) await DropAsync(connection, partition, ct);
                else await DeleteAsync(connection, partition, limit, ct);
            }
        }
        finally
        {
            await using var unlock = new NpgsqlCommand("SELECT pg_advisory_unlock(hashtext('prune_feed'))", connection);
            if (connection.State == System.Data.ConnectionState.Open) await unlock.ExecuteNonQueryAsync(CancellationToken.None);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromHours(1));
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await CreateAsync(stoppingToken);
                await PruneAsync(stoppingToken);
            }
            catch (NpgsqlException e)
            {
                // Months of turns are left before this matters; an operator has as long to read the log.
                log.LogError(e, "The feed's monthly partitions could not be looked after; trying again in an hour");
            }
        }
    }

    /// <returns>The partitions that hold ids below the limit, and whether they hold no others.</returns>
    private async Task<List<(string Partition, bool IsWholly, long Limit)>> OldAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            SELECT name, id_at((month + interval '1 month') AT TIME ZONE 'UTC') <= oldest, oldest
            FROM (SELECT c.relname::text AS name, to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AS month, id_at(clock_timestamp() - make_interval(days => $1)) AS oldest
                  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'feed_items'::regclass) AS months
            WHERE id_at(month AT TIME ZONE 'UTC') < oldest ORDER BY month
            """, connection) { Parameters = { new() { Value = retention.Value.FeedDays } } };
        var old = new List<(string, bool, long)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) old.Add((reader.GetString(0), reader.GetBoolean(1), reader.GetInt64(2)));
        return old;
    }

    private async Task DropAsync(NpgsqlConnection connection, string partition, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                // It needs the whole feed for a moment: all who come after wait while it waits for one who reads long.
                new("SELECT set_config('lock_timeout', '2s', true)"),
                new($"DROP TABLE \"{partition}\""),
            },
        };
        await batch.ExecuteNonQueryAsync(ct);
        log.LogInformation("Dropped {Partition}: all in it is older than {Days} days", partition, retention.Value.FeedDays);
    }

    private static async Task DeleteAsync(NpgsqlConnection connection, string partition, long limit, CancellationToken ct)
    {
        var (appNo, userId, id) = (int.MinValue, "", 0L);
        for (var walked = true; walked;)
        {
            // The partition's key, once from end to end: no index goes by id alone, and one would cost every message.
            await using var delete = new NpgsqlCommand($"""
                WITH walked AS (
                  SELECT app_no, user_id, id FROM "{partition}" WHERE (app_no, user_id, id) > ($1, $2, $3) ORDER BY app_no, user_id, id LIMIT {RowsAtOnce}),
                gone AS (
                  DELETE FROM "{partition}" AS i USING walked AS w WHERE i.app_no = w.app_no AND i.user_id = w.user_id AND i.id = w.id AND w.id < $4)
                SELECT app_no, user_id, id FROM walked ORDER BY app_no DESC, user_id DESC, id DESC LIMIT 1
                """, connection) { Parameters = { new() { Value = appNo }, new() { Value = userId }, new() { Value = id }, new() { Value = limit } } };
            await using var reader = await delete.ExecuteReaderAsync(ct);
            walked = await reader.ReadAsync(ct);
            if (walked) (appNo, userId, id) = (reader.GetInt32(0), reader.GetString(1), reader.GetInt64(2));
        }
    }
}
