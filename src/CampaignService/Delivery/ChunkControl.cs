using CampaignService.Data;
using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Delivery;

/// <summary>
/// What a verb on a batch does to its chunks. The caller has locked the batch's row and changed its state, in the same transaction:
/// batch before chunks, always. Workers never wait for a batch while they hold a chunk, so the two cannot deadlock.
/// </summary>
public static class ChunkControl
{
    /// <summary>
    /// Exceptions that an earlier pass left and a later one takes up again: pending, seen from outside. Of a chunk c and an exception e.
    /// </summary>
    public const string Reopened =
        "(e.status = 6 OR e.run < CASE e.status WHEN 3 THEN c.failed_from WHEN 4 THEN c.skipped_from WHEN 5 THEN c.uncertain_from ELSE 0 END)";

    /// <summary>
    /// The turns of chunks that become ready, one behind the other from the lowest turn that their app has waiting in their lane: beside the
    /// others and not behind them. A query over the chunks of batch $1 that a condition picks; index chunks_ready.
    /// </summary>
    private static string Turns(string which) => $"""
        SELECT p.no, p.channel_no, b.turn + row_number() OVER (PARTITION BY p.lane ORDER BY p.no, p.channel_no) - 1 AS turn
        FROM chunks p
        JOIN (SELECT lane, (SELECT coalesce(min(w.turn), 0) FROM chunks w WHERE w.state = 1 AND w.lane = l.lane AND w.app_no = l.app_no) AS turn
              FROM (SELECT DISTINCT lane, app_no FROM chunks WHERE batch_id = $1) l) b ON b.lane = p.lane
        WHERE p.batch_id = $1 AND {which}
        """;

    /// <summary>
    /// Takes every open chunk out of the workers' reach: after the commit no worker begins one, and none that is under way can write; but those
    /// whose messages are on their way to a provider are left to their workers, who read the batch's state and give them back.
    /// In two passes, because workers lock rows all the time: the first takes what is free and so leaves them nothing to claim, the second
    /// waits for the few chunks that are being finished. One statement alone would meet the next locked row again and again.
    /// </summary>
    public static async Task HoldAsync(CampaignsDb db, Batch batch, CancellationToken ct)
    {
        // chunks_open. A revoked lease counts for nothing: its start was no death.
        const string hold = "UPDATE chunks SET state = 3, lease_token = NULL, lease_until = NULL, starts = CASE WHEN state = 2 THEN 0 ELSE starts END ";
        const string which = "batch_id = $1 AND state IN (1, 2, 5) AND (state <> 2 OR lane <= 1)";
        await ExecuteAsync(db, hold + $"WHERE (batch_id, no, channel_no) IN (SELECT batch_id, no, channel_no FROM chunks WHERE {which} FOR UPDATE SKIP LOCKED)", ct, batch.Id);
        await ExecuteAsync(db, "SET LOCAL lock_timeout = '10s'", ct);
        await ExecuteAsync(db, hold + $"WHERE {which}", ct, batch.Id);
    }

    /// <summary>held -> ready, or waiting if it waited for its time.</summary>
    public static Task ReleaseAsync(CampaignsDb db, Batch batch, CancellationToken ct) => ExecuteAsync(db,
        $"""
        UPDATE chunks c SET state = CASE WHEN retry_at IS NULL THEN 1 ELSE 5 END, turn = t.turn
        FROM ({Turns("p.state = 3")}) AS t WHERE c.batch_id = $1 AND c.no = t.no AND c.channel_no = t.channel_no
        """, ct, batch.Id);

    /// <summary>held -> closed: what is pending in them gets this status and reason, for good or until it is retried.</summary>
    public static Task CloseAsync(CampaignsDb db, Batch batch, MessageStatus status, string reason, CancellationToken ct) =>
        CloseAsync(db.Connection, batch.Id, no: null, channelNo: null, status, reason, ct);

    /// <summary>
    /// The same for one chunk, or for all that are held. People for whom an exception stands get it changed; all others are the chunk's
    /// rest, a single number, so that stopping a million costs hundreds of rows. A rest therefore never speaks for anybody who has an
    /// exception, and a later pass over a part of them stays exact.
    /// </summary>
    public static async Task CloseAsync(
        NpgsqlConnection connection, long batchId, int? no, int? channelNo, MessageStatus status, string reason, CancellationToken ct)
    {
        // chunks_open; recipient_exceptions' key, a range for each chunk
        await using var command = new NpgsqlCommand($"""
            WITH open AS (
              SELECT * FROM chunks WHERE batch_id = $1 AND state = 3 AND ($2::int IS NULL OR (no, channel_no) = ($2, $3))),
            reopened AS (
              UPDATE recipient_exceptions e SET status = $4, reason = $5, detail = NULL, next_attempt_at = NULL, at = clock_timestamp(),
                run = (SELECT run FROM batches WHERE id = $1)
              FROM open c
              WHERE e.batch_id = $1 AND e.channel_no = c.channel_no AND e.user_id >= c.first_user AND e.user_id <= c.last_user AND {Reopened}
              RETURNING c.no, c.channel_no),
            settled AS ( -- What may have been handed over stays so; nobody sends it again by itself.
              UPDATE recipient_exceptions e SET next_attempt_at = NULL FROM open c
              WHERE e.batch_id = $1 AND e.channel_no = c.channel_no AND e.user_id >= c.first_user AND e.user_id <= c.last_user
                AND e.status = 5 AND e.next_attempt_at IS NOT NULL AND NOT {Reopened}),
            named AS (SELECT no, channel_no, count(*)::int AS n FROM reopened GROUP BY 1, 2),
            rest AS (
              SELECT open.no, open.channel_no, n - delivered - failed - skipped - uncertain AS pending,
                n - delivered - failed - skipped - uncertain - coalesce((SELECT named.n FROM named WHERE (named.no, named.channel_no) = (open.no, open.channel_no)), 0) AS n
              FROM open)
            UPDATE chunks c SET state = 4, starts = 0, retry_at = NULL, done_at = coalesce(done_at, clock_timestamp()),
              failed = c.failed + CASE WHEN $4 = 3 THEN rest.pending ELSE 0 END,
              skipped = c.skipped + CASE WHEN $4 = 4 THEN rest.pending ELSE 0 END,
              rest = CASE WHEN rest.n > 0 THEN $4 ELSE c.rest END,
              rest_reason = CASE WHEN rest.n > 0 THEN $5 ELSE c.rest_reason END,
              rest_n = CASE WHEN rest.n > 0 THEN rest.n ELSE c.rest_n END
            FROM rest WHERE c.batch_id = $1 AND c.no = rest.no AND c.channel_no = rest.channel_no
            """, connection)
        {
            CommandTimeout = 0,
            Parameters =
            {
                new() { Value = batchId },
                new() { Value = (object?)no ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer },
                new() { Value = (object?)channelNo ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer },
                new() { Value = (short)status },
                new() { Value = reason },
            },
        };
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// closed -> ready, where there is anybody with one of these statuses on one of these channels. Their exceptions are not touched: the
    /// chunk notes from which pass on exceptions count, and older ones are pending again.
    /// </summary>
    /// <returns>Whether there was anybody.</returns>
    public static async Task<bool> ReopenAsync(CampaignsDb db, Batch batch, IReadOnlyCollection<MessageStatus> statuses, int[] channels, CancellationToken ct)
    {
        // chunks' key
        return await ExecuteAsync(db, $"""
            UPDATE chunks c SET state = 1, starts = 0, turn = t.turn,
              failed_from = CASE WHEN 3 = ANY($3) THEN $2 ELSE failed_from END, failed = CASE WHEN 3 = ANY($3) THEN 0 ELSE failed END,
              skipped_from = CASE WHEN 4 = ANY($3) THEN $2 ELSE skipped_from END, skipped = CASE WHEN 4 = ANY($3) THEN 0 ELSE skipped END,
              uncertain_from = CASE WHEN 5 = ANY($3) THEN $2 ELSE uncertain_from END, uncertain = CASE WHEN 5 = ANY($3) THEN 0 ELSE uncertain END,
              rest = CASE WHEN rest = ANY($3) THEN NULL ELSE rest END,
              rest_reason = CASE WHEN rest = ANY($3) THEN NULL ELSE rest_reason END,
              rest_n = CASE WHEN rest = ANY($3) THEN 0 ELSE rest_n END,
              done_at = CASE WHEN rest = ANY($3) THEN NULL ELSE done_at END
            FROM ({Turns($"p.state = 4 AND NOT {ErasedRecipient.Owns("p")} AND p.channel_no = ANY($4) AND ((3 = ANY($3) AND p.failed > 0) OR (4 = ANY($3) AND p.skipped > 0) OR (5 = ANY($3) AND p.uncertain > 0))")}) AS t
            WHERE c.batch_id = $1 AND c.no = t.no AND c.channel_no = t.channel_no
            """, ct, batch.Id, batch.Run, statuses.Select(s => (short)s).ToArray(), channels) > 0;
    }

    /// <summary>Whether messages of the batch are on their way to a provider.</summary>
    public static async Task<bool> IsUnderWayAsync(CampaignsDb db, Batch batch, CancellationToken ct)
    {
        // chunks_open
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM chunks WHERE batch_id = $1 AND state = 2 AND lane > 1)", db.Connection) { Parameters = { new() { Value = batch.Id } } };
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>Takes the cut back, and what was noted of people who could not be sent to: nothing was sent, and everybody is as pending as in a draft.</summary>
    public static async Task DropAsync(CampaignsDb db, Batch batch, CancellationToken ct)
    {
        await ExecuteAsync(db, "DELETE FROM chunks WHERE batch_id = $1", ct, batch.Id);
        await ExecuteAsync(db, "DELETE FROM recipient_exceptions WHERE batch_id = $1", ct, batch.Id);
    }

    private static async Task<int> ExecuteAsync(CampaignsDb db, string sql, CancellationToken ct, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, db.Connection) { CommandTimeout = 0 };
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return await command.ExecuteNonQueryAsync(ct);
    }
}
