using CampaignService.Channels;
using Npgsql;

namespace CampaignService.Delivery.External;

/// <summary>
/// Providers that take nothing at the moment, known to all processes. What is sent by them is paused with that reason; now and then one
/// message is tried, and when it is taken all goes on by itself.
/// </summary>
internal sealed class Circuits([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, BatchHold hold)
{
    public async Task OpenAsync(int channelNo, SendResult because, CancellationToken ct)
    {
        // channel_circuits' key
        await using var command = source.CreateCommand("""
            INSERT INTO channel_circuits (channel_no, opened_at, next_probe_at, category, detail) VALUES ($1, clock_timestamp(), clock_timestamp() + interval '2 seconds', $2, $3)
            ON CONFLICT (channel_no) DO NOTHING
            """);
        foreach (object value in new object[] { channelNo, because.Category.ToString(), because.Detail ?? "" }) command.Parameters.Add(new() { Value = value });
        await command.ExecuteNonQueryAsync(ct);
        await HoldAsync(channelNo, ct);
    }

    public async Task<HashSet<int>> OpenOnesAsync(CancellationToken ct) => [.. await NumbersAsync("SELECT channel_no FROM channel_circuits", ct)];

    /// <summary>Those of which one message is to be tried now: by whoever asks first.</summary>
    public Task<List<int>> DueAsync(CancellationToken ct) => NumbersAsync("""
        UPDATE channel_circuits SET probes = probes + 1, next_probe_at = clock_timestamp() + least(interval '1 minute', interval '2 seconds' * power(2, least(probes, 10)))
        WHERE channel_no IN (SELECT channel_no FROM channel_circuits WHERE next_probe_at <= clock_timestamp() FOR UPDATE SKIP LOCKED)
        RETURNING channel_no
        """, ct);

    /// <summary>The provider takes messages again, or there is none left to find that out with: what waited for it goes on.</summary>
    public async Task CloseAsync(int channelNo, CancellationToken ct)
    {
        await using (var command = source.CreateCommand("DELETE FROM channel_circuits WHERE channel_no = $1"))
        {
            command.Parameters.Add(new() { Value = channelNo });
            await command.ExecuteNonQueryAsync(ct);
        }
        await ReleaseAsync(ct);
    }

    /// <summary>What was begun or resumed meanwhile is paused, too.</summary>
    public async Task HoldAsync(int channelNo, CancellationToken ct)
    {
        // index on batches (state) where sending; chunks_open
        await using var command = source.CreateCommand("SELECT id FROM batches b WHERE state = 2 AND EXISTS (SELECT 1 FROM chunks c WHERE c.batch_id = b.id AND c.channel_no = $1 AND c.state <> 4)");
        command.Parameters.Add(new() { Value = channelNo });
        foreach (var batchId in await LongsAsync(command, ct)) await hold.TryHoldAsync(batchId, HoldReason.ProviderDown, ct);
    }

    /// <summary>Also after a death between the two: what is held for a provider that is not down, goes on.</summary>
    public async Task ReleaseAsync(CancellationToken ct)
    {
        // batches_held; chunks_open
        await using var command = source.CreateCommand($"""
            SELECT id FROM batches b WHERE held_for = {(short)HoldReason.ProviderDown} AND state = 3 AND NOT EXISTS (
              SELECT 1 FROM chunks c JOIN channel_circuits o ON o.channel_no = c.channel_no WHERE c.batch_id = b.id AND c.state <> 4)
            """);
        foreach (var batchId in await LongsAsync(command, ct)) await hold.TryReleaseAsync(batchId, HoldReason.ProviderDown, ct);
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
