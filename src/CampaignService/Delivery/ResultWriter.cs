using CampaignService.Channels.InApp;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Writes what became of a chunk: an exception for each recipient who was not simply served, and the closed chunk with its counters.</summary>
public static class ResultWriter
{
    /// <param name="batch">Gets the commands.</param>
    /// <param name="chunk">The chunk.</param>
    /// <param name="messages">What became of those who were pending in it.</param>
    /// <param name="servedAtLast">Those served now for whom an exception of an earlier pass stands.</param>
    public static void AddCommands(NpgsqlBatch batch, ChunkClaim chunk, InAppMessages messages, IReadOnlyList<string> servedAtLast)
    {
        if (messages.Skipped.Count > 0)
        {
            batch.BatchCommands.Add(new("""
                INSERT INTO recipient_exceptions (batch_id, channel_no, user_id, status, reason, detail, run, at)
                SELECT $1, $2, e.user_id, 4, e.reason, e.detail, $6, clock_timestamp() FROM unnest($3, $4, $5) AS e (user_id, reason, detail)
                ON CONFLICT (batch_id, channel_no, user_id) DO UPDATE
                SET status = excluded.status, reason = excluded.reason, detail = excluded.detail, run = excluded.run, at = excluded.at, next_attempt_at = NULL
                """)
            {
                Parameters =
                {
                    new() { Value = chunk.BatchId },
                    new() { Value = chunk.ChannelNo },
                    new() { Value = messages.Skipped.Select(s => s.UserId).ToArray() },
                    new() { Value = messages.Skipped.Select(s => s.Reason).ToArray() },
                    new() { Value = messages.Skipped.Select(s => s.Detail).ToArray() },
                    new() { Value = chunk.Run },
                },
            });
        }
        if (servedAtLast.Count > 0)
        {
            // Their rows stay, for the number of attempts.
            batch.BatchCommands.Add(new("""
                UPDATE recipient_exceptions SET status = 2, reason = NULL, detail = NULL, attempts = attempts + 1, run = $4, at = clock_timestamp(), next_attempt_at = NULL
                WHERE batch_id = $1 AND channel_no = $2 AND user_id = ANY($3)
                """)
            {
                Parameters =
                {
                    new() { Value = chunk.BatchId },
                    new() { Value = chunk.ChannelNo },
                    new() { Value = servedAtLast },
                    new() { Value = chunk.Run },
                },
            });
        }
        // leased -> closed. The row is locked since its fence was checked; that the counters make up n is checked by the table.
        batch.BatchCommands.Add(new("""
            UPDATE chunks SET state = 4, base = CASE WHEN rest IS NULL THEN 2 ELSE base END, delivered = delivered + $5, skipped = skipped + $6,
              lease_token = NULL, lease_until = NULL, starts = 0, done_at = coalesce(done_at, clock_timestamp())
            WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4
            """)
        {
            Parameters =
            {
                new() { Value = chunk.BatchId },
                new() { Value = chunk.No },
                new() { Value = chunk.ChannelNo },
                new() { Value = chunk.Token },
                new() { Value = messages.Delivered },
                new() { Value = messages.Skipped.Count },
            },
        });
    }
}
