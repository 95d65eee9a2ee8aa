using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Takes one recipient out of a batch so that totals stay as they are. What became of the messages to them moves, out of the chunk they were
/// in, into a closed chunk of their own for each channel, under an id that says nothing; what was pending is skipped there.
/// </summary>
/// <remarks>
/// Such an id begins with a space. Ids of people are trimmed and begin with no control character, so it is nobody's, it sorts before all of them,
/// and no other chunk's range holds it: workers never meet it.
/// </remarks>
public static class ErasedRecipient
{
    /// <summary>Why what was pending of an erased person is skipped.</summary>
    public const string Reason = "erased";

    /// <summary>Whether a chunk is an erased person's: it is never opened again.</summary>
    public static string Owns(string chunk) => $"({chunk}.first_user >= ' ' AND {chunk}.first_user < '!')";

    /// <summary>The caller holds the batch's row; nothing else does this to it at the same time.</summary>
    public static async Task<ErasureResult> EraseAsync(NpgsqlConnection connection, long batchId, string userId, CancellationToken ct)
    {
        // A new one for each batch: nobody is to see that two of them are the same person.
        var opaque = $" erased-{Guid.NewGuid():N}";
        // First of all a worker that is at their chunk must be through with it. Whoever takes it next reads its recipients behind our lock.
        await LockChunksAsync(connection, batchId, userId, ct);
        if (await RecallAsync(connection, batchId, userId, ct)) return ErasureResult.UnderWay;
        // recipients' key
        if (await ExecuteAsync(connection, "UPDATE recipients SET user_id = $3, vars = '{}' WHERE batch_id = $1 AND user_id = $2", ct, batchId, userId, opaque) == 0) return ErasureResult.NotThere;
        await MoveOutAsync(connection, batchId, userId, opaque, ct);
        // recipient_exceptions' key, by batch: there are few
        await ExecuteAsync(connection, "DELETE FROM recipient_exceptions WHERE batch_id = $1 AND user_id = $2", ct, batchId, userId);
        return ErasureResult.Done;
    }

    /// <summary>People erased while the batch was a draft are recipients of it yet: now that it is cut they get their own chunks, before any worker sees it.</summary>
    internal static async Task SetAsideAsync(NpgsqlConnection connection, long batchId, CancellationToken ct)
    {
        var erased = new List<string>();
        // recipients' key
        await using (var find = new NpgsqlCommand("SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id >= ' ' AND user_id < '!' ORDER BY user_id", connection) { Parameters = { new() { Value = batchId } } })
        await using (var reader = await find.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) erased.Add(reader.GetString(0));
        }
        foreach (var id in erased) await MoveOutAsync(connection, batchId, id, id, ct);
    }

    private static Task<int> LockChunksAsync(NpgsqlConnection connection, long batchId, string userId, CancellationToken ct) =>
        // chunks' key
        ExecuteAsync(connection, "SELECT 1 FROM chunks WHERE batch_id = $1 AND first_user <= $2 AND last_user >= $2 ORDER BY no, channel_no FOR UPDATE", ct, batchId, userId);

    /// <summary>Asks the workers that hold chunks of theirs, and may be sending to them, to give them back; places in a chunk must not move under a worker.</summary>
    /// <returns>Whether there are any.</returns>
    private static async Task<bool> RecallAsync(NpgsqlConnection connection, long batchId, string userId, CancellationToken ct) =>
        // chunks' key
        await ExecuteAsync(connection, "UPDATE chunks SET recalled = true WHERE batch_id = $1 AND first_user <= $2 AND last_user >= $2 AND state = 2 AND lane > 1", ct, batchId, userId) > 0;

    /// <summary>
    /// The same rule as <see cref="LedgerChunk.Fold"/> says what the messages are. A chunk that held nobody else goes: whoever has leased it
    /// finds no row, as after a pause. Borders that were the person's id move to who stands next to them.
    /// </summary>
    private static Task<int> MoveOutAsync(NpgsqlConnection connection, long batchId, string userId, string opaque, CancellationToken ct) => ExecuteAsync(connection, $"""
        WITH person AS ( -- chunks' key, recipient_exceptions' key
          SELECT c.*, p.place, coalesce(e.reason, CASE WHEN c.base IS NULL THEN c.rest_reason END, '{Reason}') AS reason, coalesce(e.at, c.done_at, clock_timestamp()) AS at,
            e.user_id IS NULL AND NOT p.is_delivered AND c.base IS NULL AND c.rest IS NOT NULL AS of_rest,
            CASE WHEN e.user_id IS NULL THEN CASE WHEN p.is_delivered THEN 2 ELSE coalesce(c.base, c.rest, 1) END WHEN {ChunkControl.Reopened} THEN 1 ELSE e.status END AS status
          FROM chunks c
          CROSS JOIN LATERAL (SELECT count(*)::int AS place FROM recipients WHERE batch_id = $1 AND user_id >= c.first_user AND user_id < $2 AND c.results IS NOT NULL) AS before -- recipients' key
          CROSS JOIN LATERAL (SELECT before.place, c.results IS NOT NULL AND get_byte(c.results, before.place) = {External.ChunkPass.Delivered} AS is_delivered) AS p
          LEFT JOIN recipient_exceptions e ON e.batch_id = c.batch_id AND e.channel_no = c.channel_no AND e.user_id = $2
          WHERE c.batch_id = $1 AND c.first_user <= $2 AND c.last_user >= $2),
        own AS (
          INSERT INTO chunks (batch_id, no, channel_no, app_no, lane, turn, n, first_user, last_user, state, base, rest, rest_reason, rest_n, delivered, failed, skipped, uncertain, cut_at, done_at)
          SELECT batch_id, (SELECT max(no) + 1 FROM chunks WHERE batch_id = $1), channel_no, app_no, lane, turn, 1, $3, $3, 4,
            CASE WHEN status = 2 THEN 2 END, CASE status WHEN 1 THEN 4 WHEN 2 THEN NULL ELSE status END,
            CASE status WHEN 1 THEN '{Reason}' WHEN 2 THEN NULL ELSE reason END, CASE WHEN status = 2 THEN 0 ELSE 1 END,
            (status = 2)::int, (status = 3)::int, (status IN (1, 4))::int, (status = 5)::int, cut_at, at
          FROM person),
        gone AS (
          DELETE FROM chunks c USING person p WHERE (c.batch_id, c.no, c.channel_no) = (p.batch_id, p.no, p.channel_no) AND p.n = 1)
        UPDATE chunks c SET n = c.n - 1, delivered = c.delivered - (p.status = 2)::int, failed = c.failed - (p.status = 3)::int,
          skipped = c.skipped - (p.status = 4)::int, uncertain = c.uncertain - (p.status = 5)::int, rest_n = c.rest_n - p.of_rest::int,
          results = substr(c.results, 1, p.place) || substr(c.results, p.place + 2),
          -- recipients' key
          first_user = CASE WHEN c.first_user = $2 THEN (SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id > $2 ORDER BY user_id LIMIT 1) ELSE c.first_user END,
          last_user = CASE WHEN c.last_user = $2 THEN (SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id < $2 ORDER BY user_id DESC LIMIT 1) ELSE c.last_user END
        FROM person p WHERE (c.batch_id, c.no, c.channel_no) = (p.batch_id, p.no, p.channel_no) AND p.n > 1
        """, ct, batchId, userId, opaque);

    private static async Task<int> ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>What came of taking one recipient out of a batch.</summary>
public enum ErasureResult
{
    /// <summary>They are no recipient of it, or no longer.</summary>
    NotThere,

    /// <summary>They are out.</summary>
    Done,

    /// <summary>Messages of their chunk are on their way to a provider; it was asked for, and will be free shortly.</summary>
    UnderWay,
}
