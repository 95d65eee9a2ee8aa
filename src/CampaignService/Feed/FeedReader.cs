using CampaignService.Users;
using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Feed;

/// <summary>Which items of a feed to read, newest first, as far as their rows can tell.</summary>
/// <param name="From">Only items sent then or later.</param>
/// <param name="To">Only items sent then or earlier.</param>
/// <param name="Unread">True: only unread items; false: only read ones; null: both.</param>
/// <param name="ChannelNo">Only items of this channel.</param>
public sealed record FeedFilter(DateTimeOffset? From, DateTimeOffset? To, bool? Unread, int? ChannelNo);

/// <summary>Reads the rows of one user's feed. Everything goes along the table's key: a page costs the same at any depth.</summary>
public sealed class FeedReader(NpgsqlDataSource source)
{
    /// <summary>The next rows of the feed, whether they fit or not: who looks for what is rare goes on from the last.</summary>
    /// <returns>Each row's id, newest first, with the row if it is visible and fits.</returns>
    public async Task<IReadOnlyList<(long Id, FeedRow? Row)>> WalkAsync(Person person, FeedFilter filter, long before, int rows, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(InOrder());
        // feed_items' key, backwards, as far as the rows go; id_at also leaves out the partitions of other months
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"""
            SELECT fits, id, channel_no, source_id, delivered_at, read_at, engaged_at, CASE WHEN fits THEN vars END FROM (
              SELECT {FeedRow.Columns}, {FeedRow.Visible} AND ($6::boolean IS NULL OR (read_at IS NULL) = $6) AND ($7::integer IS NULL OR channel_no = $7) AS fits
              FROM feed_items WHERE app_no = $1 AND user_id = $2 AND id < $3 AND id >= id_at($4) AND id < id_at($5)
              ORDER BY id DESC LIMIT $8) AS walked
            ORDER BY id DESC
            """)
        {
            Parameters =
            {
                new() { Value = person.AppNo },
                new() { Value = person.UserId },
                new() { Value = before },
                new() { Value = FeedTime.Within(filter.From ?? FeedTime.First) },
                // Ids of one millisecond differ only in their sequence: up to the next one, all of them belong to it.
                new() { Value = FeedTime.Within(filter.To ?? FeedTime.Last).AddMilliseconds(1) },
                new() { Value = (object?)filter.Unread ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Boolean },
                new() { Value = (object?)filter.ChannelNo ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer },
                new() { Value = rows },
            },
        });
        var walked = new List<(long, FeedRow?)>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) walked.Add((reader.GetInt64(1), reader.GetBoolean(0) ? FeedRow.Of(reader, at: 1) : null));
        return walked;
    }

    /// <summary>The next rows of the feed, newest first, also those that nobody sees any more.</summary>
    public async Task<IReadOnlyList<FeedRow>> AllAsync(Person person, long before, int rows, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(InOrder());
        // feed_items' key, backwards
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"SELECT {FeedRow.Columns} FROM feed_items WHERE app_no = $1 AND user_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4")
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId }, new() { Value = before }, new() { Value = rows } },
        });
        var found = new List<FeedRow>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add(FeedRow.Of(reader));
        return found;
    }

    public async Task<long> CountUnreadAsync(Person person, CancellationToken ct)
    {
        // feed_items' key: the rows of one user
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var command = new NpgsqlCommand($"SELECT count(*) FROM feed_items WHERE app_no = $1 AND user_id = $2 AND read_at IS NULL AND {FeedRow.Visible}", connection)
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } },
        };
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <returns>Null when the item is not in this feed.</returns>
    public async Task<FeedRow?> FindAsync(Person person, long id, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(FindCommand(person, id));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? FeedRow.Of(reader) : null;
    }

    /// <summary>Reads one item as <see cref="FeedRow.Of"/> wants it.</summary>
    internal static NpgsqlBatchCommand FindCommand(Person person, long id) =>
        // feed_items' key
        new($"SELECT {FeedRow.Columns} FROM feed_items WHERE app_no = $1 AND user_id = $2 AND id = $3 AND {FeedRow.Visible}")
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId }, new() { Value = id } },
        };

    /// <summary>The items above an id, oldest first.</summary>
    public async Task<IReadOnlyList<FeedRow>> AfterAsync(Person person, long after, int limit, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(InOrder());
        // feed_items' key, forwards
        batch.BatchCommands.Add(new NpgsqlBatchCommand(
            $"SELECT {FeedRow.Columns} FROM feed_items WHERE app_no = $1 AND user_id = $2 AND id > $3 AND {FeedRow.Visible} ORDER BY id LIMIT $4")
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId }, new() { Value = after }, new() { Value = limit } },
        });
        var rows = new List<FeedRow>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) rows.Add(FeedRow.Of(reader));
        return rows;
    }

    /// <summary>What is in many feeds above an id of each, at most 1,000 items a feed, the newest.</summary>
    /// <returns>The place of the feed in the lists, and the item's id.</returns>
    public async Task<List<(int Feed, long Id)>> NewAsync(int[] apps, string[] users, long[] after, long below, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(InOrder());
        // feed_items' key, once for each feed: LATERAL with its LIMIT leaves the planner no other way. The bounds of them all leave out the other months.
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"""
            SELECT f.no::integer - 1, i.id FROM unnest($1::integer[], $2::text[], $3::bigint[]) WITH ORDINALITY AS f(app_no, user_id, after, no)
            CROSS JOIN LATERAL (
              SELECT id FROM feed_items WHERE app_no = f.app_no AND user_id = f.user_id AND id > f.after AND id > $4 AND id < $5 AND {FeedRow.Visible}
              ORDER BY id DESC LIMIT 1000) AS i
            """)
        {
            Parameters = { new() { Value = apps }, new() { Value = users }, new() { Value = after }, new() { Value = after.Min() }, new() { Value = below } },
        });
        var found = new List<(int, long)>();
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add((reader.GetInt32(0), reader.GetInt64(1)));
        return found;
    }

    /// <summary>Items of many feeds by their ids. Those that went meanwhile are not among them.</summary>
    /// <returns>The place of the item in the lists, and the item.</returns>
    public async Task<List<(int Place, FeedRow Row)>> FindAllAsync(int[] apps, string[] users, long[] ids, CancellationToken ct, bool evenHidden = false)
    {
        // feed_items' key, once for each item, as above
        await using var command = source.CreateCommand($"""
            SELECT f.no::integer - 1, i.* FROM unnest($1::integer[], $2::text[], $3::bigint[]) WITH ORDINALITY AS f(app_no, user_id, id, no)
            CROSS JOIN LATERAL (SELECT {FeedRow.Columns} FROM feed_items WHERE app_no = f.app_no AND user_id = f.user_id AND id = f.id AND {(evenHidden ? "true" : FeedRow.Visible)} LIMIT 1) AS i
            """);
        foreach (var list in new object[] { apps, users, ids }) command.Parameters.Add(new() { Value = list });
        var found = new List<(int, FeedRow)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add((reader.GetInt32(0), FeedRow.Of(reader, at: 1)));
        return found;
    }

    /// <summary>
    /// For this transaction, which is the batch. Once prepared, the statement gets a plan made for any user, who has few items: read
    /// them all, then sort. For a user with 20,000 that takes 26 ms instead of 0.1; without sorting the key's order is all there is.
    /// </summary>
    internal static NpgsqlBatchCommand InOrder() => new("SELECT set_config('enable_sort', 'off', true)");
}
