using CampaignService.Channels.InApp;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Writes what became of a chunk: an exception for each recipient who was not simply served, and the closed chunk with its counters.</summary>
public static class ResultWriter
{
    public static void AddCommands(NpgsqlBatch batch, ChunkClaim chunk, InAppMessages messages)
    {
        if (messages.Skipped.Count > 0)
        {
            batch.BatchCommands.Add(new("""
                INSERT INTO recipient_exceptions (batch_id, channel_no, user_id, status, reason, detail, run, at)
                SELECT $1, $2, e.user_id, 4, e.reason, e.detail, 0, clock_timestamp() FROM unnest($3, $4, $5) AS e (user_id, reason, detail)
                """)
            {
                Parameters =
                {
                    new() { Value = chunk.BatchId },
                    new() { Value = chunk.ChannelNo },
                    new() { Value = messages.Skipped.Select(s => s.UserId).ToArray() },
                    new() { Value = messages.Skipped.Select(s => s.Reason).ToArray() },
                    new() { Value = messages.Skipped.Select(s => s.Detail).ToArray() },
                },
            });
        }
        // leased -> closed. The row is locked since its fence was checked; that the counters make up n is checked by the table.
        batch.BatchCommands.Add(new("""
            UPDATE chunks SET state = 4, base = 2, delivered = $5, skipped = $6, lease_token = NULL, lease_until = NULL, starts = 0, done_at = clock_timestamp()
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
