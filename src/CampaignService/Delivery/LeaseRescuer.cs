using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Takes over chunks whose worker died: its lease ran out and nobody holds the row. A chunk that did so three times is set aside as
/// failed with the reason <c>worker_died</c>, so that one poisonous chunk cannot hold up its campaign, or the workers, for ever.
/// </summary>
public sealed class LeaseRescuer(NpgsqlDataSource source, WorkSignal signal, ILogger<LeaseRescuer> log)
{
    /// <summary>Starts without a result after which a chunk is set aside.</summary>
    public const short MaxStarts = 3;

    public async Task RescueAsync(CancellationToken ct)
    {
        // A worker inside its transaction holds the row's lock and is passed over, however long it takes. Index chunks_lease.
        await using var command = source.CreateCommand("""
            UPDATE chunks SET lease_token = NULL, lease_until = NULL,
              state = CASE WHEN starts < $1 THEN 1 ELSE 4 END,
              failed = CASE WHEN starts < $1 THEN failed ELSE n - delivered - skipped - uncertain END,
              rest = CASE WHEN starts < $1 THEN rest ELSE 3 END,
              rest_reason = CASE WHEN starts < $1 THEN rest_reason ELSE 'worker_died' END,
              rest_n = CASE WHEN starts < $1 THEN rest_n ELSE n - delivered - failed - skipped - uncertain END,
              done_at = CASE WHEN starts < $1 THEN done_at ELSE clock_timestamp() END
            WHERE (batch_id, no, channel_no) IN (
              SELECT batch_id, no, channel_no FROM chunks WHERE state = 2 AND lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)
            RETURNING batch_id, no, starts, state
            """);
        command.Parameters.Add(new() { Value = MaxStarts });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (batch, no, starts) = (reader.GetInt64(0), reader.GetInt32(1), reader.GetInt16(2));
            if (reader.GetInt16(3) == 1) log.LogWarning("Chunk {No} of batch {Batch} was left by a worker that died; it is ready again (start {Starts})", no, batch, starts);
            else log.LogError("Chunk {No} of batch {Batch} was started {Starts} times and never finished; it is set aside as failed", no, batch, starts);
            signal.Wake();
        }
    }
}
