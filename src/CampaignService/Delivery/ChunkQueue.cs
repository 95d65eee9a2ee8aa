using CampaignService.Common;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>A chunk that this worker holds until its lease ends. The token is the fence: whoever comes later has another.</summary>
/// <param name="BatchId">Its batch.</param>
/// <param name="No">Its number in the batch.</param>
/// <param name="ChannelNo">The channel it goes to.</param>
/// <param name="AppNo">The app.</param>
/// <param name="FirstUser">The first recipient.</param>
/// <param name="LastUser">The last recipient.</param>
/// <param name="Starts">How often it was started without a result, this time included.</param>
/// <param name="Run">The pass over its recipients, 0 for the first.</param>
/// <param name="IsWhole">Everybody in it is pending, and no exception stands for anybody.</param>
/// <param name="Token">The fence.</param>
public sealed record ChunkClaim(
    long BatchId, int No, int ChannelNo, int AppNo, string FirstUser, string LastUser, short Starts, short Run, bool IsWhole, Guid Token);

/// <summary>
/// Hands out chunks, each to one worker. A claim is committed before the work begins, so that a chunk that kills its worker is seen to
/// have been started; the claim of the next chunk rides in the commit that closes the last, so it costs no commit of its own.
/// </summary>
public sealed class ChunkQueue([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source)
{
    /// <summary>
    /// The first ready chunk of the first lane that has one; within a lane the next app in turn after the one served last, within an
    /// app the lowest turn. Index chunks_ready; rows that other workers are claiming are passed over.
    /// </summary>
    private const string Sql = """
        UPDATE chunks SET state = 2, lease_token = $1, lease_until = clock_timestamp() + interval '15 seconds', starts = starts + 1
        WHERE (batch_id, no, channel_no) = (
          SELECT c.batch_id, c.no, c.channel_no
          FROM unnest($2, $3) AS probe (lane, after_app)
          CROSS JOIN LATERAL (
            SELECT batch_id, no, channel_no FROM chunks WHERE state = 1 AND lane = probe.lane AND app_no > probe.after_app
            ORDER BY app_no, turn LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
          WHERE (SELECT at FROM delivery_pulse) > clock_timestamp() - interval '30 seconds' -- see DeliveryPulse
          LIMIT 1)
        RETURNING batch_id, no, channel_no, app_no, first_user, last_user, starts, greatest(failed_from, skipped_from, uncertain_from),
          greatest(failed_from, skipped_from, uncertain_from) = 0 AND delivered + failed + skipped + uncertain = 0
        """;

    private static readonly short[] ProbeLanes = [.. Lanes.InOrder.SelectMany(lane => new[] { lane, lane })];

    /// <param name="lastApp">The app this worker served last, so that apps take turns.</param>
    public async Task<ChunkClaim?> ClaimAsync(int lastApp, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { ClaimCommand(lastApp, out var token) } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        return await ReadClaimAsync(reader, token, ct);
    }

    /// <summary>leased -> ready, if it still is ours: it was not begun, or failed for no fault of its own, so this start counts for nothing.</summary>
    public async Task GiveBackAsync(ChunkClaim chunk, CancellationToken ct)
    {
        // chunks' key
        await using var command = source.CreateCommand("""
            UPDATE chunks SET state = 1, lease_token = NULL, lease_until = NULL, starts = greatest(starts - 1, 0)
            WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4
            """);
        foreach (object value in new object[] { chunk.BatchId, chunk.No, chunk.ChannelNo, chunk.Token }) command.Parameters.Add(new() { Value = value });
        if (await command.ExecuteNonQueryAsync(ct) > 0) Telemetry.ChunkGivenBack();
    }

    /// <summary>The claim as part of a caller's pipeline; read its result with <see cref="ReadClaimAsync"/>.</summary>
    public static NpgsqlBatchCommand ClaimCommand(int lastApp, out Guid token)
    {
        token = Guid.NewGuid();
        int[] after = [.. Lanes.InOrder.SelectMany(_ => new[] { lastApp, -1 })];
        return new NpgsqlBatchCommand(Sql) { Parameters = { new() { Value = token }, new() { Value = ProbeLanes }, new() { Value = after } } };
    }

    public static async Task<ChunkClaim?> ReadClaimAsync(NpgsqlDataReader reader, Guid token, CancellationToken ct) => await reader.ReadAsync(ct)
        ? new ChunkClaim(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3),
            reader.GetString(4), reader.GetString(5), reader.GetInt16(6), reader.GetInt16(7), reader.GetBoolean(8), token)
        : null;
}
