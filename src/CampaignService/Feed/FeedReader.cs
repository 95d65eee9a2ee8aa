using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Feed;

/// <summary>Which items of a feed to read, newest first.</summary>
/// <param name="Before">Only items with a smaller id.</param>
/// <param name="From">Only items sent then or later.</param>
/// <param name="To">Only items sent then or earlier.</param>
/// <param name="Unread">True: only unread items; false: only read ones; null: both.</param>
public sealed record FeedFilter(long Before, DateTimeOffset? From, DateTimeOffset? To, bool? Unread);

/// <summary>Reads the rows of one user's feed. Everything goes along the table's key; a page costs the same at any depth, but one that looks for what is rare in a feed (unread among read) passes over the rest.</summary>
public sealed class FeedReader(NpgsqlDataSource source)
{
    public async Task<IReadOnlyList<FeedRow>> PageAsync(FeedOwner owner, FeedFilter filter, int limit, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        // For this transaction, which is the batch. Once prepared, the statement gets a plan made for any user, who has few items: read
        // them all, then sort. For a user with 20,000 that takes 26 ms instead of 0.1; without sorting the key's order is all there is.
        batch.BatchCommands.Add(new NpgsqlBatchCommand("SELECT set_config('enable_sort', 'off', true)"));
        // feed_items' key, backwards, as far as the page goes; id_at also leaves out the partitions of other months
        batch.BatchCommands.Add(new NpgsqlBatchCommand("""
            SELECT id, channel_no, source_id, delivered_at, read_at, vars FROM feed_items
            WHERE app_no = $1 AND user_id = $2 AND id < $3 AND id >= id_at($4) AND id < id_at($5) AND ($6::boolean IS NULL OR (read_at IS NULL) = $6)
            ORDER BY id DESC LIMIT $7
            """)
        {
            Parameters =
            {
                new() { Value = owner.AppNo },
                new() { Value = owner.UserId },
                new() { Value = filter.Before },
                new() { Value = FeedTime.Within(filter.From ?? FeedTime.First) },
                // Ids of one millisecond differ only in their sequence: up to the next one, all of them belong to it.
                new() { Value = FeedTime.Within(filter.To ?? FeedTime.Last).AddMilliseconds(1) },
                new() { Value = (object?)filter.Unread ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Boolean },
                new() { Value = limit },
            },
        });
        var rows = new List<FeedRow>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) rows.Add(FeedRow.Of(reader));
        return rows;
    }

    public async Task<long> CountUnreadAsync(FeedOwner owner, CancellationToken ct)
    {
        // feed_items' key: the rows of one user
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var command = new NpgsqlCommand("SELECT count(*) FROM feed_items WHERE app_no = $1 AND user_id = $2 AND read_at IS NULL", connection)
        {
            Parameters = { new() { Value = owner.AppNo }, new() { Value = owner.UserId } },
        };
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <returns>Null when the item is not in this feed.</returns>
    public async Task<FeedRow?> FindAsync(FeedOwner owner, long id, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(FindCommand(owner, id));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? FeedRow.Of(reader) : null;
    }

    /// <summary>Reads one item as <see cref="FeedRow.Of"/> wants it.</summary>
    internal static NpgsqlBatchCommand FindCommand(FeedOwner owner, long id) =>
        // feed_items' key
        new("SELECT id, channel_no, source_id, delivered_at, read_at, vars FROM feed_items WHERE app_no = $1 AND user_id = $2 AND id = $3")
        {
            Parameters = { new() { Value = owner.AppNo }, new() { Value = owner.UserId }, new() { Value = id } },
        };
}
