using System.Collections.Concurrent;
using CampaignService.Data;
using CampaignService.Scheduling;
using CampaignService.Webhooks;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Nobody is to be surprised by an old backup or a long outage. Workers beat a pulse in the database, and no chunk is handed out without
/// a fresh one. Whoever finds the pulse stopped looks around before it beats again: batches without progress for too long are paused as
/// <c>late</c>, and in a restored copy of a database everything is paused and webhooks are disabled as <c>restored</c>. Die anywhere in that, and the next one
/// finds the pulse still stopped and does it again.
/// </summary>
public sealed class DeliveryPulse(
    [FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, BatchHold hold, WebhookSwitch webhooks, IServiceScopeFactory scopes, IOptions<SchedulingSettings> settings, TimeProvider clock, ILogger<DeliveryPulse> log)
{
    /// <summary>How often a worker beats at most. A claim takes a pulse of up to 30 s for fresh.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<long, byte> _progress = new();
    private long _lastBeat = long.MinValue;

    /// <summary>A chunk of this batch was closed.</summary>
    public void Progressed(long batchId) => _progress.TryAdd(batchId, 0);

    /// <summary>The next beat is due at once.</summary>
    public void Forget() => Interlocked.Exchange(ref _lastBeat, long.MinValue);

    public async Task BeatAsync(CancellationToken ct)
    {
        var last = Interlocked.Read(ref _lastBeat);
        if (last != long.MinValue && clock.GetElapsedTime(last) < Interval) return;
        if (!await TryBeatAsync(ct))
        {
            // What this process noted before the gap says nothing about now.
            _progress.Clear();
            await LookAroundAsync(ct);
        }
        Interlocked.Exchange(ref _lastBeat, clock.GetTimestamp());
        await StoreProgressAsync(ct);
    }

    /// <summary>For a process that delivers nothing but starts campaigns: whether this still is the database that it was.</summary>
    public async Task CheckCopyAsync(CancellationToken ct)
    {
        await using var command = source.CreateCommand($"SELECT {DatabaseCopy.IsSame} FROM delivery_pulse");
        if (!(bool)(await command.ExecuteScalarAsync(ct))!) await LookAroundAsync(ct);
    }

    private const string
        // Index on batches (state); chunks_open. One that is only to be ended is not late: the sweep ends it.
        Late = "state = 2 AND progress_at < clock_timestamp() - $1 AND EXISTS (SELECT 1 FROM chunks c WHERE c.batch_id = batches.id AND c.state <> 4)";

    private async Task<bool> TryBeatAsync(CancellationToken ct)
    {
        await using var command = source.CreateCommand(
            $"UPDATE delivery_pulse SET at = clock_timestamp() WHERE at > clock_timestamp() - interval '30 seconds' AND {DatabaseCopy.IsSame} AND NOT EXISTS (SELECT 1 FROM batches WHERE {Late})");
        command.Parameters.Add(new() { Value = settings.Value.MaxLateness });
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    private async Task LookAroundAsync(CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        // One process looks; the others wait here and then find the pulse fresh.
        await using var look = new NpgsqlCommand($"SELECT {DatabaseCopy.IsSame} FROM delivery_pulse FOR UPDATE", connection);
        var restored = !(bool)(await look.ExecuteScalarAsync(ct))!;
        if (restored)
        {
            log.LogWarning("This database is a restored copy: whatever was sending or scheduled in it is paused until somebody resumes it, and its webhooks are disabled");
            await webhooks.DisableAllAsync(ct);
            await using var scope = scopes.CreateAsyncScope();
            foreach (var owner in scope.ServiceProvider.GetServices<IBatchOwner>()) await owner.HoldScheduledAsync(HoldReason.Restored, ct);
        }
        await using (var find = new NpgsqlCommand($"SELECT id FROM batches WHERE {(restored ? "state = 2" : Late)}", connection))
        {
            if (!restored) find.Parameters.Add(new() { Value = settings.Value.MaxLateness });
            var found = new List<long>();
            await using (var reader = await find.ExecuteReaderAsync(ct))
            {
                while (await reader.ReadAsync(ct)) found.Add(reader.GetInt64(0));
            }
            foreach (var batchId in found) await hold.TryHoldAsync(batchId, restored ? HoldReason.Restored : HoldReason.Late, ct);
        }
        await using var beat = new NpgsqlCommand($"UPDATE delivery_pulse SET at = clock_timestamp(), (system_identifier, database_oid, timeline) = ({DatabaseCopy.Identity})", connection);
        await beat.ExecuteNonQueryAsync(ct);
        await transaction.CommitAsync(ct);
    }

    private async Task StoreProgressAsync(CancellationToken ct)
    {
        var batches = _progress.Keys.ToArray();
        if (batches.Length == 0) return;
        foreach (var batch in batches) _progress.TryRemove(batch, out _);
        // batches' key. A batch that a verb works on is passed over: it is being looked after.
        await using var command = source.CreateCommand(
            "UPDATE batches SET progress_at = clock_timestamp() WHERE id IN (SELECT id FROM batches WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED)");
        command.Parameters.Add(new() { Value = batches });
        await command.ExecuteNonQueryAsync(ct);
    }
}
