using Npgsql;

namespace CampaignService.Feed;

/// <summary>
/// Marks items as delivered and read. The first time is kept, so repeating is safe. A mark and its receipt are one statement: die before
/// its commit, and neither happened. What is counted is what the statement changed, never what was asked for, so receipts equal a
/// recount of the rows however many calls come at once.
/// </summary>
/// <remarks>
/// The receipts of one source are spread over 16 slots, by the item's id: readers of one campaign do not queue for one row. Every call
/// locks its item first and one slot after it, so calls cannot lock each other out.
/// </remarks>
public sealed class FeedMarks(NpgsqlDataSource source)
{
    /// <returns>The item as it is now; null when it is not in this feed.</returns>
    public Task<FeedRow?> DeliveredAsync(FeedOwner owner, long id, CancellationToken ct) =>
        // feed_items' key; feed_receipts' key
        MarkAsync(owner, id, """
            WITH marked AS (
              UPDATE feed_items SET delivered_at = clock_timestamp()
              WHERE app_no = $1 AND user_id = $2 AND id = $3 AND delivered_at IS NULL
              RETURNING source_id)
            INSERT INTO feed_receipts AS r (source_id, slot, delivered) SELECT source_id, $3 & 15, 1 FROM marked
            ON CONFLICT (source_id, slot) DO UPDATE SET delivered = r.delivered + excluded.delivered
            """, ct);

    /// <summary>Read is also delivered.</summary>
    /// <returns>The item as it is now; null when it is not in this feed.</returns>
    public Task<FeedRow?> ReadAsync(FeedOwner owner, long id, CancellationToken ct) =>
        // feed_items' key, twice: whether this call is the one that delivers can only be known from the row as it was, behind its lock;
        // feed_receipts' key
        MarkAsync(owner, id, """
            WITH unread AS (
              SELECT delivered_at, clock_timestamp() AS now FROM feed_items
              WHERE app_no = $1 AND user_id = $2 AND id = $3 AND read_at IS NULL FOR NO KEY UPDATE),
            marked AS (
              UPDATE feed_items AS i SET read_at = unread.now, delivered_at = coalesce(unread.delivered_at, unread.now)
              FROM unread WHERE i.app_no = $1 AND i.user_id = $2 AND i.id = $3 AND i.read_at IS NULL
              RETURNING i.source_id, (unread.delivered_at IS NULL)::integer AS delivered)
            INSERT INTO feed_receipts AS r (source_id, slot, delivered, read) SELECT source_id, $3 & 15, delivered, 1 FROM marked
            ON CONFLICT (source_id, slot) DO UPDATE SET delivered = r.delivered + excluded.delivered, read = r.read + excluded.read
            """, ct);

    private async Task<FeedRow?> MarkAsync(FeedOwner owner, long id, string mark, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand(mark)
        {
            Parameters = { new() { Value = owner.AppNo }, new() { Value = owner.UserId }, new() { Value = id } },
        });
        batch.BatchCommands.Add(FeedReader.FindCommand(owner, id));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var row = await reader.ReadAsync(ct) ? FeedRow.Of(reader) : null;
        // The batch commits at its end: only when that is read is the mark sure.
        await reader.NextResultAsync(ct);
        return row;
    }
}
