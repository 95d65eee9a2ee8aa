using CampaignService.Channels;
using Npgsql;

namespace CampaignService.Delivery.External;

/// <summary>
/// Providers that take nothing at the moment, known to all processes. What is sent by them is paused with that reason; now and then one
/// message is tried, and when it is taken all goes on by itself.
/// </summary>
internal sealed class Circuits([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, BatchHold hold)
{
    /// <summary>
    /// The batches that wait for providers: held, or sending and not held yet, or direct and never held. One past its stopAt is to be sent no more.
    /// A query; index on batches (state) where sending, batches_held.
    /// </summary>
    public static readonly string Concerned = $"""
        SELECT b.id FROM (
          SELECT id, stop_at FROM batches WHERE state = 2 UNION ALL
          SELECT id, stop_at FROM batches WHERE state = 3 AND held_for = {(short)HoldReason.ProviderDown}) AS b
        WHERE b.stop_at IS NULL OR b.stop_at > clock_timestamp()
        """;

    /// <summary>So many batches are paused, or go on, in one turn.</summary>
    private const int AtOnce = 200;

    private const string Backoff = "least(interval '1 minute', interval '2 seconds' * power(2, least(probes, 10)))";

    /// <param name="channelNo">The channel.</param>
    /// <param name="because">What its failing came to.</param>
    /// <param name="goneSince">Since when the provider says of one person after the other that they are gone; null when that is not what it says.</param>
    /// <param name="ct">Gives up.</param>
    public async Task OpenAsync(int channelNo, SendResult because, DateTimeOffset? goneSince, CancellationToken ct)
    {
        // channel_circuits' key
        await using var command = source.CreateCommand("""
            INSERT INTO channel_circuits AS o (channel_no, opened_at, next_probe_at, category, detail, gone_since)
            VALUES ($1, clock_timestamp(), clock_timestamp() + interval '2 seconds', $2, $3, $4)
            ON CONFLICT (channel_no) DO UPDATE SET gone_since = least(o.gone_since, excluded.gone_since)
            """);
        foreach (object value in new object[] { channelNo, because.Category.ToString(), because.Detail ?? "" }) command.Parameters.Add(new() { Value = value });
        command.Parameters.Add(new() { Value = (object?)goneSince ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.TimestampTz });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Those of which one message is to be tried now: by whoever asks first. Nobody else tries before that call must have ended; die in it, and somebody does then.</summary>
    public Task<List<int>> DueAsync(CancellationToken ct) => NumbersAsync($"""
        UPDATE channel_circuits SET probes = probes + 1, next_probe_at = clock_timestamp() + greatest({Backoff}, interval '5 seconds' + make_interval(secs =>
          coalesce((SELECT (ch.settings ->> 'timeoutSeconds')::int FROM channels ch WHERE ch.no = channel_no), 10)))
        WHERE channel_no IN (SELECT channel_no FROM channel_circuits WHERE next_probe_at <= clock_timestamp() FOR UPDATE SKIP LOCKED)
        RETURNING channel_no
        """, ct);

    /// <summary>The call that was to find out has failed: the next is made when its time has come, now that nobody needs to wait for this one.</summary>
    public async Task FailedAsync(int channelNo, CancellationToken ct)
    {
        await using var command = source.CreateCommand($"UPDATE channel_circuits SET next_probe_at = least(next_probe_at, clock_timestamp() + {Backoff}) WHERE channel_no = $1");
        command.Parameters.Add(new() { Value = channelNo });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>The provider takes messages again: what waited for it goes on.</summary>
    public async Task CloseAsync(int channelNo, CancellationToken ct)
    {
        await DeleteAsync(channelNo, "true", ct);
        await ReleaseAsync(ct);
    }

    /// <summary>The same where there is nothing left to find out with; what a worker has in hand, perhaps in a call that hangs, is something.</summary>
    /// <returns>Whether that is so.</returns>
    public async Task<bool> CloseIfUnusedAsync(int channelNo, CancellationToken ct)
    {
        // chunks_open
        var isClosed = await DeleteAsync(channelNo, $"NOT EXISTS (SELECT 1 FROM chunks c WHERE c.channel_no = $1 AND c.state <> 4 AND c.batch_id IN ({Concerned}))", ct);
        if (isClosed) await ReleaseAsync(ct);
        return isClosed;
    }

    /// <summary>What goes by a provider that is down is paused, also what was begun or resumed meanwhile; but nothing direct, of which nothing is handed out anyway.</summary>
    /// <returns>Whether there may be more.</returns>
    public async Task<bool> HoldAsync(CancellationToken ct)
    {
        // index on batches (state) where sending; chunks_open; channel_circuits' key. What somebody works on is passed over and met again.
        await using var command = source.CreateCommand($"""
            SELECT id FROM batches b WHERE state = 2 AND EXISTS (
              SELECT 1 FROM chunks c JOIN channel_circuits o ON o.channel_no = c.channel_no WHERE c.batch_id = b.id AND c.lane <> {Lanes.ExternalDirect} AND c.state <> 4)
            LIMIT {AtOnce} FOR NO KEY UPDATE SKIP LOCKED
            """);
        var found = await LongsAsync(command, ct);
        foreach (var batchId in found) await hold.TryHoldAsync(batchId, HoldReason.ProviderDown, ct);
        return found.Count == AtOnce;
    }

    /// <summary>Also after a death between the two: what is held for a provider that is not down, goes on.</summary>
    /// <returns>Whether there may be more.</returns>
    public async Task<bool> ReleaseAsync(CancellationToken ct)
    {
        // batches_held; chunks_open
        await using var command = source.CreateCommand($"""
            SELECT id FROM batches b WHERE held_for = {(short)HoldReason.ProviderDown} AND state = 3 AND NOT EXISTS (
              SELECT 1 FROM chunks c JOIN channel_circuits o ON o.channel_no = c.channel_no WHERE c.batch_id = b.id AND c.state <> 4)
            LIMIT {AtOnce} FOR NO KEY UPDATE SKIP LOCKED
            """);
        var found = await LongsAsync(command, ct);
        foreach (var batchId in found) await hold.TryReleaseAsync(batchId, HoldReason.ProviderDown, ct);
        return found.Count == AtOnce;
    }

    /// <summary>People who were called gone while everybody was are taken to be there again.</summary>
    /// <returns>Whether the provider was down, and this was so.</returns>
    private async Task<bool> DeleteAsync(int channelNo, string condition, CancellationToken ct)
    {
        // channel_circuits' key; gone_addresses' key, by channel
        await using var command = source.CreateCommand($"""
            WITH closed AS (DELETE FROM channel_circuits WHERE channel_no = $1 AND {condition} RETURNING channel_no, gone_since),
            taken_back AS (DELETE FROM gone_addresses g USING closed WHERE g.channel_no = closed.channel_no AND g.at >= closed.gone_since)
            SELECT EXISTS (SELECT 1 FROM closed)
            """);
        command.Parameters.Add(new() { Value = channelNo });
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<List<int>> NumbersAsync(string sql, CancellationToken ct)
    {
        await using var command = source.CreateCommand(sql);
        var numbers = new List<int>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) numbers.Add(reader.GetInt32(0));
        return numbers;
    }

    private static async Task<List<long>> LongsAsync(NpgsqlCommand command, CancellationToken ct)
    {
        var numbers = new List<long>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) numbers.Add(reader.GetInt64(0));
        return numbers;
    }
}
