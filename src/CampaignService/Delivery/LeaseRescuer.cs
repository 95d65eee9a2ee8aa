using CampaignService.Common;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Takes over in-app chunks whose worker died: its lease ran out and nobody holds the row. A chunk that did so three times without a result in
/// between is set aside as failed with the reason <c>worker_died</c>, so that one poisonous chunk cannot hold up its campaign, or the
/// workers, for ever. The third time it ran alone in its process (see <see cref="SingleFile"/>), so no innocent is taken for it. A lease is
/// not renewed in between: from its first statement on the worker's transaction holds the row, and with it the chunk.
/// </summary>
public sealed class LeaseRescuer([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, WorkSignal signal, ILogger<LeaseRescuer> log)
{
    /// <summary>Starts without a result after which a chunk is set aside.</summary>
    public const short MaxStarts = 3;

    public async Task RescueAsync(CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        var rescued = new List<(long Batch, int No, int ChannelNo, short Starts)>();
        // A worker inside its transaction holds the row's lock and is passed over, however long it takes. Index chunks_lease.
        await using (var command = new NpgsqlCommand("""
            UPDATE chunks SET lease_token = NULL, lease_until = NULL, state = CASE WHEN starts < $1 THEN 1 ELSE 3 END
            WHERE (batch_id, no, channel_no) IN (
              SELECT batch_id, no, channel_no FROM chunks WHERE state = 2 AND lane <= 1 AND lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)
            RETURNING batch_id, no, channel_no, starts
            """, connection) { Parameters = { new() { Value = MaxStarts } } })
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) rescued.Add((reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt16(3)));
        }
        foreach (var (batch, no, channelNo, _) in rescued.Where(c => c.Starts >= MaxStarts))
        {
            await ChunkControl.CloseAsync(connection, batch, no, channelNo, MessageStatus.Failed, "worker_died", ct);
        }
        await transaction.CommitAsync(ct);

        foreach (var (batch, no, _, starts) in rescued)
        {
            if (starts < MaxStarts) Telemetry.ChunkRescued(); else Telemetry.ChunkSetAside();
            if (starts < MaxStarts) log.LogWarning("Chunk {No} of batch {Batch} was left by a worker that died; it is ready again (start {Starts})", no, batch, starts);
            else log.LogError("Chunk {No} of batch {Batch} was started {Starts} times and never finished; it is set aside as failed", no, batch, starts);
        }
        if (rescued.Count > 0) signal.Wake();
    }
}
