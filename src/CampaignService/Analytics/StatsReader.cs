using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Analytics;

/// <summary>Whose numbers. What is null does not matter.</summary>
/// <param name="AppNo">The app.</param>
/// <param name="Tag">Only what was sent with it.</param>
/// <param name="CampaignId">Only this campaign.</param>
/// <param name="TemplateId">Only this template, by its internal id.</param>
/// <param name="Channels">Only these, each for itself.</param>
public sealed record StatsScope(int AppNo, string? Tag, string? CampaignId = null, string? TemplateId = null, int[]? Channels = null);

/// <summary>The numbers of one channel, or of all together.</summary>
public sealed record Stats(Figures Totals, IReadOnlyList<TopicCount> Topics, IReadOnlyList<DatedFigures> TimeSeries);

/// <summary>
/// Reads sums, and what was not folded into them yet, in one statement and so as of one moment: together they are what a recount of the rows
/// would give.
/// </summary>
public sealed class StatsReader(NpgsqlDataSource source)
{
    /// <summary>Topics are callers' words: there may be any number.</summary>
    internal const int MaxTopics = 50;

    private const string Columns = "messages, delivered, failed, skipped, uncertain, received, read, engaged";

    /// <summary>For each part (0, or the channel) its buckets, from 1 on, and its most frequent topics.</summary>
    private const string Sql = $"""
        WITH line AS (
          SELECT CASE WHEN $8::int[] IS NULL THEN 0 ELSE channel_no END AS part, width_bucket(at, $2::timestamptz[]) AS bucket, topic, {Columns}
          FROM stats -- its key; with a campaign stats_campaign, with a template stats_template
          WHERE app_no = $1 AND at >= $3 AND at < $4 AND ($5::text IS NULL OR tag = $5) AND ($6::text IS NULL OR campaign_id = $6)
            AND ($7::text IS NULL OR template_id = $7) AND ($8 IS NULL OR channel_no = ANY($8))
          UNION ALL
          SELECT CASE WHEN $8 IS NULL THEN 0 ELSE d.channel_no END, width_bucket(d.at, $2), d.topic, {Columns}
          FROM stat_deltas d {StatsRollup.JoinSource} -- read whole: it holds what came within seconds
          WHERE d.app_no = $1 AND d.at >= $3 AND d.at < $4 AND ($5 IS NULL OR {StatsRollup.Tag} = $5) AND ($6 IS NULL OR {StatsRollup.Campaign} = $6)
            AND ($7 IS NULL OR {StatsRollup.Template} = $7) AND ($8 IS NULL OR d.channel_no = ANY($8)))
        SELECT part, bucket, topic, sum(messages)::bigint, sum(delivered)::bigint, sum(failed)::bigint, sum(skipped)::bigint, sum(uncertain)::bigint,
          sum(received)::bigint, sum(read)::bigint, sum(engaged)::bigint
        FROM line WHERE topic = '' GROUP BY part, bucket, topic
        UNION ALL
        SELECT part, 0, topic, 0, 0, 0, 0, 0, 0, 0, n FROM (
          SELECT part, topic, sum(engaged)::bigint AS n, row_number() OVER (PARTITION BY part ORDER BY sum(engaged) DESC, topic) AS place
          FROM line WHERE topic <> '' GROUP BY part, topic) AS ranked
        WHERE n > 0 AND place <= $9
        """;

    /// <returns>By channel; all together under 0.</returns>
    public async Task<IReadOnlyDictionary<int, Stats>> ReadAsync(StatsScope scope, AnalyticsWindow window, CancellationToken ct)
    {
        await using var command = source.CreateCommand(Sql);
        command.Parameters.Add(new() { Value = scope.AppNo });
        command.Parameters.Add(new() { Value = window.Edges });
        command.Parameters.Add(new() { Value = window.Start });
        command.Parameters.Add(new() { Value = window.End });
        foreach (var text in new[] { scope.Tag, scope.CampaignId, scope.TemplateId }) command.Parameters.Add(new() { Value = (object?)text ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        command.Parameters.Add(new() { Value = (object?)scope.Channels ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer });
        command.Parameters.Add(new() { Value = MaxTopics });

        var parts = (scope.Channels ?? [0]).ToDictionary(part => part, _ => (Buckets: new Figures[window.Edges.Length - 1], Topics: new List<TopicCount>()));
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (part, bucket) = (parts[reader.GetInt32(0)], reader.GetInt32(1));
            if (bucket == 0) part.Topics.Add(new TopicCount(reader.GetString(2), reader.GetInt64(10)));
            else part.Buckets[bucket - 1] = Of([.. Enumerable.Range(3, 8).Select(reader.GetInt64)]);
        }
        return parts.ToDictionary(p => p.Key, p => Of(window, p.Value.Buckets, p.Value.Topics));
    }

    internal static IReadOnlyList<TopicCount> Ranked(IEnumerable<TopicCount> topics) => [.. topics.OrderByDescending(t => t.Count).ThenBy(t => t.Topic, StringComparer.Ordinal)];

    private static Stats Of(AnalyticsWindow window, Figures?[] buckets, List<TopicCount> topics)
    {
        DatedFigures[] series = [.. buckets.Select((f, i) => new DatedFigures(
            window.Edges[i], f?.Messages ?? 0, f?.Delivered ?? 0, f?.Failed ?? 0, f?.Skipped ?? 0, f?.Uncertain ?? 0, f?.Received ?? 0, f?.Read ?? 0, f?.Engaged ?? 0))];
        var totals = new Figures(series.Sum(f => f.Messages), series.Sum(f => f.Delivered), series.Sum(f => f.Failed), series.Sum(f => f.Skipped), series.Sum(f => f.Uncertain),
            series.Sum(f => f.Received), series.Sum(f => f.Read), series.Sum(f => f.Engaged));
        return new Stats(totals, Ranked(topics), series);
    }

    private static Figures Of(long[] f) => new(f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
}
