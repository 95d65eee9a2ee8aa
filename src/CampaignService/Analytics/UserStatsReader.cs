using CampaignService.Feed;
using CampaignService.Users;
using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Analytics;

/// <summary>What one user did.</summary>
/// <param name="Totals">Of the whole time.</param>
/// <param name="Clicked">Items engaged with by the topic <see cref="UserStatsReader.ClickedTopic"/>.</param>
/// <param name="LastEngagement">The last first engagement with an item.</param>
/// <param name="Topics">The most frequent.</param>
/// <param name="TimeSeries">Hour by hour or day by day.</param>
public sealed record UserStats(UserFigures Totals, long Clicked, DateTimeOffset? LastEngagement, IReadOnlyList<TopicCount> Topics, IReadOnlyList<DatedUserFigures> TimeSeries);

/// <summary>Counts the rows of one user's feed. Nothing is kept by user: it would be a number for each message, and would have to go with the person.</summary>
public sealed class UserStatsReader(NpgsqlDataSource source)
{
    /// <summary>What clients report when a message was clicked on.</summary>
    public const string ClickedTopic = "clicked";

    /// <summary>Items may be marked at any time after they came, so all of the user's are looked at that came before the end: the key of feed_items.</summary>
    private const string Sql = $"""
        WITH line AS (
          SELECT width_bucket(f.at, $3::timestamptz[]) AS bucket, f.*
          FROM feed_items d {StatsRollup.JoinSource}
          CROSS JOIN LATERAL (
            VALUES (to_timestamp(1704067200 + (d.id >> 22) / 1000.0), '', 1, 0, 0, 0), (d.delivered_at, '', 0, 1, 0, 0), (d.read_at, '', 0, 0, 1, 0), (d.engaged_at, '', 0, 0, 0, 1)
            UNION ALL SELECT d.engaged_at, t, 0, 0, 0, 1 FROM unnest(d.topics) AS t) AS f (at, topic, delivered, received, read, engaged)
          WHERE d.app_no = $1 AND d.user_id = $2 AND d.id < id_at($5) AND f.at >= $4 AND f.at < $6 AND ($7::text IS NULL OR {StatsRollup.Tag} = $7))
        SELECT bucket, topic, sum(delivered), sum(received), sum(read), sum(engaged), max(at) FILTER (WHERE engaged = 1) FROM line WHERE topic = '' GROUP BY bucket, topic
        UNION ALL
        SELECT 0, topic, 0, 0, 0, sum(engaged), NULL FROM line WHERE topic <> '' GROUP BY topic
        """;

    /// <returns>Whether the user's feed holds or held anything, so far as it is kept.</returns>
    public async Task<bool> AnyAsync(Person person, CancellationToken ct)
    {
        // feed_items' key
        await using var command = source.CreateCommand("SELECT EXISTS (SELECT 1 FROM feed_items WHERE app_no = $1 AND user_id = $2)");
        command.Parameters.Add(new() { Value = person.AppNo });
        command.Parameters.Add(new() { Value = person.UserId });
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    public async Task<UserStats> ReadAsync(Person person, string? tag, AnalyticsWindow window, CancellationToken ct)
    {
        await using var command = source.CreateCommand(Sql);
        foreach (object value in new object[] { person.AppNo, person.UserId, window.Edges, window.Start, FeedTime.Within(window.End), window.End }) command.Parameters.Add(new() { Value = value });
        command.Parameters.Add(new() { Value = (object?)tag ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });

        var buckets = new UserFigures?[window.Edges.Length - 1];
        var (topics, last) = (new List<TopicCount>(), (DateTimeOffset?)null);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var bucket = reader.GetInt32(0);
            if (bucket == 0)
            {
                topics.Add(new TopicCount(reader.GetString(1), reader.GetInt64(5)));
                continue;
            }
            buckets[bucket - 1] = new UserFigures(reader.GetInt64(2), reader.GetInt64(3), reader.GetInt64(4), reader.GetInt64(5));
            if (!reader.IsDBNull(6) && reader.GetFieldValue<DateTimeOffset>(6) is var at && !(last >= at)) last = at;
        }
        DatedUserFigures[] series = [.. buckets.Select((f, i) => new DatedUserFigures(window.Edges[i], f?.Delivered ?? 0, f?.Received ?? 0, f?.Read ?? 0, f?.Engaged ?? 0))];
        var totals = new UserFigures(series.Sum(f => f.Delivered), series.Sum(f => f.Received), series.Sum(f => f.Read), series.Sum(f => f.Engaged));
        return new UserStats(totals, topics.Find(t => t.Topic == ClickedTopic)?.Count ?? 0, last, [.. StatsReader.Ranked(topics).Take(StatsReader.MaxTopics)], series);
    }
}
