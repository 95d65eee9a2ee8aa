using CampaignService.Users;
using CampaignService.Webhooks;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>
/// Marks items as delivered, read, engaged with and deleted. The first time is kept, so repeating is safe. A mark and its receipt are one statement: die before
/// its commit, and neither happened; nor did the event that tells of it. What is counted is what the statement changed, never what was asked for, so receipts equal a
/// recount of the rows however many calls come at once.
/// </summary>
/// <remarks>
/// A deleted item stays as a row that nobody sees: so deleting can be repeated, and receipts still equal a recount of the rows.
/// The receipts of one source are spread over 16 slots, by the item's id: readers of one campaign do not queue for one row. Every call
/// locks items first, from the newest on, and slots after them, in the order of their key, so calls cannot lock each other out.
/// </remarks>
public sealed class FeedMarks(NpgsqlDataSource source)
{
    /// <summary>Topics that an item keeps; they are the callers' words, and a row must not grow without end.</summary>
    private const int MaxTopics = 50;

    /// <summary>Rows that one transaction marks: others who mark items of the same sendings wait for it.</summary>
    private const int ReadAtOnce = 1_000;

    /// <returns>The item as it is now; null when it is not in this feed.</returns>
    public Task<FeedRow?> DeliveredAsync(Person person, long id, CancellationToken ct) =>
        // feed_items' key; feed_receipts' key
        MarkAsync(person, id, $"""
            WITH marked AS (
              UPDATE feed_items SET delivered_at = clock_timestamp()
              WHERE app_no = $1 AND user_id = $2 AND id = $3 AND delivered_at IS NULL AND {FeedRow.Visible}
              RETURNING source_id),
            told AS ({FeedSubjects.Tell(EventType.FeedItemDelivered, "$3", "marked")})
            INSERT INTO feed_receipts AS r (source_id, slot, delivered) SELECT source_id, $3 & 15, 1 FROM marked
            ON CONFLICT (source_id, slot) DO UPDATE SET delivered = r.delivered + excluded.delivered
            """, ct);

    /// <summary>Read is also delivered.</summary>
    /// <returns>The item as it is now; null when it is not in this feed.</returns>
    public Task<FeedRow?> ReadAsync(Person person, long id, CancellationToken ct) =>
        // feed_items' key, twice: whether this call is the one that delivers can only be known from the row as it was, behind its lock;
        // feed_receipts' key
        MarkAsync(person, id, $"""
            WITH unread AS (
              SELECT delivered_at, clock_timestamp() AS now FROM feed_items
              WHERE app_no = $1 AND user_id = $2 AND id = $3 AND read_at IS NULL AND {FeedRow.Visible} FOR NO KEY UPDATE),
            marked AS (
              UPDATE feed_items AS i SET read_at = unread.now, delivered_at = coalesce(unread.delivered_at, unread.now)
              FROM unread WHERE i.app_no = $1 AND i.user_id = $2 AND i.id = $3 AND i.read_at IS NULL
              RETURNING i.source_id, (unread.delivered_at IS NULL)::integer AS delivered),
            told AS ({FeedSubjects.Tell(EventType.FeedItemRead, "$3", "marked")}),
            told_first AS ({FeedSubjects.Tell(EventType.FeedItemDelivered, "$3", "marked WHERE delivered = 1")})
            INSERT INTO feed_receipts AS r (source_id, slot, delivered, read) SELECT source_id, $3 & 15, delivered, 1 FROM marked
            ON CONFLICT (source_id, slot) DO UPDATE SET delivered = r.delivered + excluded.delivered, read = r.read + excluded.read
            """, ct);

    /// <summary>Neither delivers nor reads. A topic counts once an item, and the item counts once, with its first topic.</summary>
    /// <returns>The item as it is now; null when it is not in this feed.</returns>
    public Task<FeedRow?> EngagedAsync(Person person, long id, string topic, CancellationToken ct) =>
        // feed_items' key, twice, as above; feed_topics' key; feed_receipts' key
        MarkAsync(person, id, $"""
            WITH item AS (
              SELECT engaged_at FROM feed_items
              WHERE app_no = $1 AND user_id = $2 AND id = $3 AND (topics IS NULL OR NOT $4 = ANY(topics)) AND coalesce(cardinality(topics), 0) < {MaxTopics} AND {FeedRow.Visible}
              FOR NO KEY UPDATE),
            marked AS (
              UPDATE feed_items AS i SET engaged_at = coalesce(item.engaged_at, clock_timestamp()), topics = array_append(i.topics, $4)
              FROM item WHERE i.app_no = $1 AND i.user_id = $2 AND i.id = $3
              RETURNING i.source_id, item.engaged_at IS NULL AS is_first),
            told AS ({FeedSubjects.Tell(EventType.FeedItemEngaged, "$3", "marked", "$4")}),
            counted AS (
              INSERT INTO feed_topics AS t (source_id, topic, slot, n) SELECT source_id, $4, $3 & 15, 1 FROM marked
              ON CONFLICT (source_id, topic, slot) DO UPDATE SET n = t.n + excluded.n)
            INSERT INTO feed_receipts AS r (source_id, slot, engaged) SELECT source_id, $3 & 15, 1 FROM marked WHERE is_first
            ON CONFLICT (source_id, slot) DO UPDATE SET engaged = r.engaged + excluded.engaged
            """, ct, topic);

    /// <summary>
    /// Marks row by row, some at a time. A mark of the feed ("read up to here") would be one row instead, but would also read what is being
    /// sent: an item gets its id before its sender commits, and would come into the feed below the mark. And receipts are counted by source.
    /// Die between two turns: those marked stay marked, and repeating does the rest.
    /// </summary>
    /// <returns>How many were unread.</returns>
    public async Task<long> ReadAllAsync(Person person, CancellationToken ct)
    {
        var (before, marked) = (await NewestIdAsync(ct), 0L);
        for (var turn = ReadAtOnce; turn == ReadAtOnce; marked += turn) (turn, before) = await ReadSomeAsync(person, before, ct);
        return marked;
    }

    /// <returns>Whether the feed has the item, or had it before it was deleted.</returns>
    public async Task<bool> DeleteAsync(Person person, long id, CancellationToken ct)
    {
        // feed_items' key
        await using var delete = source.CreateCommand("""
            UPDATE feed_items SET deleted_at = coalesce(deleted_at, clock_timestamp())
            WHERE app_no = $1 AND user_id = $2 AND id = $3 AND (deleted_at IS NOT NULL OR expires_at IS NULL OR expires_at > clock_timestamp())
            """);
        delete.Parameters.Add(new() { Value = person.AppNo });
        delete.Parameters.Add(new() { Value = person.UserId });
        delete.Parameters.Add(new() { Value = id });
        return await delete.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>What is sent from now on has larger ids: a feed that is written faster than it is read must not keep this going.</summary>
    private async Task<long> NewestIdAsync(CancellationToken ct)
    {
        await using var newest = source.CreateCommand("SELECT next_id()");
        return (long)(await newest.ExecuteScalarAsync(ct))!;
    }

    /// <returns>How many were marked, and the smallest id among them.</returns>
    private async Task<(int Marked, long Smallest)> ReadSomeAsync(Person person, long before, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(FeedReader.InOrder());
        // feed_items' key, backwards, then once for each row; feed_receipts' key
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"""
            WITH unread AS (
              SELECT id, delivered_at, clock_timestamp() AS now FROM feed_items
              WHERE app_no = $1 AND user_id = $2 AND id < $3 AND read_at IS NULL AND {FeedRow.Visible}
              ORDER BY id DESC LIMIT {ReadAtOnce} FOR NO KEY UPDATE),
            marked AS (
              UPDATE feed_items AS i SET read_at = unread.now, delivered_at = coalesce(unread.delivered_at, unread.now)
              FROM unread WHERE i.app_no = $1 AND i.user_id = $2 AND i.id = unread.id AND i.read_at IS NULL
              RETURNING i.id, i.source_id, (unread.delivered_at IS NULL)::integer AS delivered),
            told AS ({FeedSubjects.Tell(EventType.FeedItemRead, "id", "marked")}),
            told_first AS ({FeedSubjects.Tell(EventType.FeedItemDelivered, "id", "marked WHERE delivered = 1")}),
            counted AS (
              INSERT INTO feed_receipts AS r (source_id, slot, delivered, read)
              SELECT source_id, id & 15, sum(delivered), count(id) FROM marked GROUP BY 1, 2 ORDER BY 1, 2
              ON CONFLICT (source_id, slot) DO UPDATE SET delivered = r.delivered + excluded.delivered, read = r.read + excluded.read)
            SELECT count(id)::integer, coalesce(min(id), 0) FROM marked
            """)
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId }, new() { Value = before } },
        });
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        await reader.ReadAsync(ct);
        var result = (reader.GetInt32(0), reader.GetInt64(1));
        // The batch commits at its end, as below.
        await reader.NextResultAsync(ct);
        return result;
    }

    private async Task<FeedRow?> MarkAsync(Person person, long id, string mark, CancellationToken ct, string? topic = null)
    {
        await using var batch = source.CreateBatch();
        var command = new NpgsqlBatchCommand(mark)
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId }, new() { Value = id } },
        };
        if (topic is not null) command.Parameters.Add(new() { Value = topic });
        batch.BatchCommands.Add(command);
        batch.BatchCommands.Add(FeedReader.FindCommand(person, id));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var row = await reader.ReadAsync(ct) ? FeedRow.Of(reader) : null;
        // The batch commits at its end: only when that is read is the mark sure.
        await reader.NextResultAsync(ct);
        return row;
    }
}
