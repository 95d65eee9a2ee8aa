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
/// <param name="IsSuspect">Workers died of it twice, or beside it: it must run alone, and only that counts as the third start (<see cref="ChunkQueue.BeginAloneAsync"/>).</param>
/// <param name="Run">The pass over its recipients, 0 for the first.</param>
/// <param name="IsWhole">Everybody in it is pending, and no exception stands for anybody.</param>
/// <param name="Token">The fence.</param>
public sealed record ChunkClaim(
    long BatchId, int No, int ChannelNo, int AppNo, string FirstUser, string LastUser, bool IsSuspect, short Run, bool IsWhole, Guid Token);

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
        WITH next AS (
          SELECT c.*
          FROM unnest($2, $3) AS probe (lane, after_app)
          CROSS JOIN LATERAL (
            SELECT batch_id, no, channel_no, starts >= $4 - 1 AS is_suspect FROM chunks WHERE state = 1 AND lane = probe.lane AND app_no > probe.after_app
            ORDER BY app_no, turn LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
          WHERE (SELECT at FROM delivery_pulse) > clock_timestamp() - interval '30 seconds' -- see DeliveryPulse
          LIMIT 1)
        UPDATE chunks c SET state = 2, lease_token = $1, lease_until = clock_timestamp() + interval '15 seconds',
          starts = c.starts + CASE WHEN next.is_suspect THEN 0 ELSE 1 END
        FROM next WHERE c.batch_id = next.batch_id AND c.no = next.no AND c.channel_no = next.channel_no
        RETURNING c.batch_id, c.no, c.channel_no, app_no, first_user, last_user, next.is_suspect, greatest(failed_from, skipped_from, uncertain_from),
          greatest(failed_from, skipped_from, uncertain_from) = 0 AND delivered + failed + skipped + uncertain = 0
        """;

    /// <summary>Direct before bulk, but for every fourth claim: whoever floods the direct lane must not bring all bulk to a stop.</summary>
    private static readonly short[] DirectFirst = Twice(Lanes.InOrder), BulkFirst = Twice(Lanes.InOrder.Reverse());

    private uint _claims;

    /// <param name="lastApp">The app this worker served last, so that apps take turns.</param>
    public async Task<ChunkClaim?> ClaimAsync(int lastApp, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { ClaimCommand(lastApp, out var token) } };
        // Not to be cancelled from here on: a claim whose answer nobody reads would wait for the end of its lease.
        await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
        return await ReadClaimAsync(reader, token, CancellationToken.None);
    }

    /// <summary>The third start of a suspect, counted now that nothing else runs in this process: if that dies, it was this chunk.</summary>
    /// <returns>False when it was taken from us meanwhile.</returns>
    public async Task<bool> BeginAloneAsync(ChunkClaim chunk, CancellationToken ct)
    {
        // chunks' key
        await using var command = source.CreateCommand("""
            UPDATE chunks SET starts = starts + 1, lease_until = clock_timestamp() + interval '15 seconds'
            WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4
            """);
        AddKey(command.Parameters, chunk);
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>leased -> ready, if it still is ours: it was not begun, or failed for no fault of its own, so this start counts for nothing.</summary>
    public async Task GiveBackAsync(ChunkClaim chunk, CancellationToken ct)
    {
        // chunks' key
        await using var command = source.CreateCommand("""
            UPDATE chunks SET state = 1, lease_token = NULL, lease_until = NULL, starts = CASE WHEN $5 THEN least(starts, $6 - 1) ELSE greatest(starts - 1, 0) END
            WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4
            """);
        AddKey(command.Parameters, chunk);
        command.Parameters.Add(new() { Value = chunk.IsSuspect });
        command.Parameters.Add(new() { Value = LeaseRescuer.MaxStarts });
        if (await command.ExecuteNonQueryAsync(ct) > 0) Telemetry.ChunkGivenBack();
    }

    /// <summary>The claim as part of a caller's pipeline; read its result with <see cref="ReadClaimAsync"/>.</summary>
    public NpgsqlBatchCommand ClaimCommand(int lastApp, out Guid token)
    {
        token = Guid.NewGuid();
        int[] after = [.. Lanes.InOrder.SelectMany(_ => new[] { lastApp, -1 })];
        var lanes = Interlocked.Increment(ref _claims) % 4 == 0 ? BulkFirst : DirectFirst;
        return new NpgsqlBatchCommand(Sql)
        {
            Parameters = { new() { Value = token }, new() { Value = lanes }, new() { Value = after }, new() { Value = LeaseRescuer.MaxStarts } },
        };
    }

    public static async Task<ChunkClaim?> ReadClaimAsync(NpgsqlDataReader reader, Guid token, CancellationToken ct) => await reader.ReadAsync(ct)
        ? new ChunkClaim(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3),
            reader.GetString(4), reader.GetString(5), reader.GetBoolean(6), reader.GetInt16(7), reader.GetBoolean(8), token)
        : null;

    /// <summary>Leases the in-app chunks of a batch to whoever makes it, in the same transaction: nobody else can take them before.</summary>
    public static async Task<List<ChunkClaim>> TakeInAppAsync(NpgsqlConnection connection, long batchId, CancellationToken ct)
    {
        var token = Guid.NewGuid();
        // chunks' key
        await using var command = new NpgsqlCommand("""
            UPDATE chunks SET state = 2, lease_token = $1, lease_until = clock_timestamp() + interval '15 seconds', starts = 1 WHERE batch_id = $2 AND state = 1 AND lane <= 1
            RETURNING batch_id, no, channel_no, app_no, first_user, last_user, false, 0::smallint, true
            """, connection) { Parameters = { new() { Value = token }, new() { Value = batchId } } };
        var claims = new List<ChunkClaim>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await ReadClaimAsync(reader, token, ct) is { } claim) claims.Add(claim);
        return claims;
    }

    private static short[] Twice(IEnumerable<short> lanes) => [.. lanes.SelectMany(lane => new[] { lane, lane })];

    private static void AddKey(NpgsqlParameterCollection parameters, ChunkClaim chunk)
    {
        foreach (object value in new object[] { chunk.BatchId, chunk.No, chunk.ChannelNo, chunk.Token }) parameters.Add(new() { Value = value });
    }
}
