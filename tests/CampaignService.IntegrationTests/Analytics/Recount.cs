using System.Globalization;
using System.Net;
using System.Text.Json;
using CampaignService.Analytics;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Analytics;

/// <summary>Something that happened to so many messages at one time, read from the rows that say so.</summary>
public sealed record Fact(string Metric, string Topic, DateTimeOffset At, long Count, string Campaign, string Template, string Tag, string Channel, string? User);

/// <summary>The service on a database that keeps aside what is removed from feeds: what has happened has happened.</summary>
public sealed class AnalyticsService : TestService, IAsyncLifetime
{
    public new async Task InitializeAsync()
    {
        await base.InitializeAsync();
        await ExecuteAsync("CREATE TABLE gone (LIKE feed_items)");
        await ExecuteAsync("CREATE FUNCTION keep_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO gone SELECT OLD.*; RETURN NULL; END $$");
        await ExecuteAsync("CREATE TRIGGER keep_gone AFTER DELETE ON feed_items FOR EACH ROW EXECUTE FUNCTION keep_gone()");
    }

    public Task RollUpAsync(int atOnce = 20_000) => Services.GetRequiredService<StatsRollup>().RunAsync(atOnce, CancellationToken.None);
}

/// <summary>Counts the rows that analytics is about, without anything that analytics keeps, and holds its answers against that.</summary>
public sealed class Recount(AnalyticsService service)
{
    public static readonly string[] Metrics = ["messages", "delivered", "failed", "skipped", "uncertain", "received", "read", "engaged"];

    private static readonly string[] UserMetrics = ["delivered", "received", "read", "engaged"];

    private static readonly (string Period, string Zone)[] Windows = [("hourly", "UTC"), ("daily", "UTC"), ("daily", "Asia/Kolkata"), ("daily", "America/New_York")];

    public async Task<List<Fact>> FactsAsync()
    {
        var facts = new List<Fact>();
        await using var command = service.Db.CreateCommand("""
            WITH source AS (
              SELECT b.id, b.app_no, c.id AS campaign, b.template_id, coalesce(c.tag, n.tag, '') AS tag
              FROM batches b LEFT JOIN campaigns c ON c.batch_id = b.id LEFT JOIN notifications n ON n.id = b.id
              UNION ALL SELECT id, app_no, NULL, template_id, coalesce(tag, '') FROM notifications WHERE user_ids <> '{}'),
            item AS (SELECT * FROM feed_items UNION ALL SELECT * FROM gone),
            fact AS (
              SELECT batch_id AS source, channel_no, 'messages' AS metric, '' AS topic, cut_at AS at, n::bigint, NULL::text AS person FROM chunks
              UNION ALL SELECT batch_id, channel_no, 'delivered', '', coalesce(done_at, cut_at), delivered, NULL FROM chunks
              UNION ALL SELECT batch_id, channel_no, 'failed', '', coalesce(done_at, cut_at), failed, NULL FROM chunks
              UNION ALL SELECT batch_id, channel_no, 'skipped', '', coalesce(done_at, cut_at), skipped, NULL FROM chunks
              UNION ALL SELECT batch_id, channel_no, 'uncertain', '', coalesce(done_at, cut_at), uncertain, NULL FROM chunks
              UNION ALL SELECT n.id, (c ->> 'channelNo')::int, m.metric, '', n.created_at, n.receivers, NULL
                FROM notifications n JOIN template_versions v ON v.template_id = n.template_id AND v.version = n.template_version
                CROSS JOIN json_array_elements(v.content -> 'channels') c
                CROSS JOIN LATERAL (VALUES ('messages'), (CASE WHEN (c ->> 'channelNo')::int = ANY(n.channel_nos) THEN 'delivered' ELSE 'skipped' END)) AS m (metric)
                WHERE n.user_ids <> '{}'
              UNION ALL SELECT source_id, channel_no, 'received', '', delivered_at, 1, user_id FROM item WHERE delivered_at IS NOT NULL
              UNION ALL SELECT source_id, channel_no, 'read', '', read_at, 1, user_id FROM item WHERE read_at IS NOT NULL
              UNION ALL SELECT source_id, channel_no, 'engaged', '', engaged_at, 1, user_id FROM item WHERE engaged_at IS NOT NULL
              UNION ALL SELECT source_id, channel_no, 'topic', unnest(topics), engaged_at, 1, user_id FROM item)
            SELECT metric, topic, at, sum(n)::bigint, coalesce(campaign, ''), template_id, tag, h.channel_id, person
            FROM fact JOIN source s ON s.id = fact.source JOIN channels h ON h.no = fact.channel_no
            WHERE s.app_no = (SELECT no FROM apps WHERE id = 'demo') GROUP BY 1, 2, 3, 5, 6, 7, 8, 9
            """);
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            facts.Add(new Fact(reader.GetString(0), reader.GetString(1), reader.GetFieldValue<DateTimeOffset>(2), reader.GetInt64(3), reader.GetString(4), reader.GetString(5),
                reader.GetString(6), reader.GetString(7), reader.IsDBNull(8) ? null : reader.GetString(8)));
        }
        return facts;
    }

    /// <summary>Every answer that there is, for one way to cut time.</summary>
    public async Task ShouldEqualEveryAnswerAsync(int window)
    {
        var (period, zone) = Windows[window % Windows.Length];
        var facts = await FactsAsync();
        var now = await service.ScalarAsync<DateTime>("SELECT clock_timestamp()");
        var when = $"period={period}&timeZone={zone}&startDate={now.AddDays(-29):yyyy-MM-dd'T'HH:mm:ss'Z'}&endDate={now.AddHours(1):yyyy-MM-dd'T'HH:mm:ss'Z'}";
        await CompareAsync("overview", when, facts);
        foreach (var tag in facts.Select(f => f.Tag).Where(t => t.Length > 0).Distinct()) await CompareAsync("overview", $"{when}&tag={tag}", facts.Where(f => f.Tag == tag));
        foreach (var (id, tag) in facts.Where(f => f.Campaign.Length > 0).Select(f => (f.Campaign, f.Tag)).Distinct())
        {
            await CompareAsync($"campaigns/{id}", when, facts.Where(f => f.Campaign == id));
            await CompareAsync($"campaigns/{id}", $"{when}&tag=other", []);
            if (tag.Length > 0) await CompareAsync($"campaigns/{id}", $"{when}&tag={tag}", facts.Where(f => f.Campaign == id));
        }
        foreach (var id in facts.Select(f => f.Template).Distinct()) await CompareAsync($"templates/{id}", when, facts.Where(f => f.Template == id));
        var channels = (await service.Api.GetAsync($"/api/analytics/channels?limit=100&{when}")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().ToArray();
        Assert.Equal(facts.Select(f => f.Channel).Distinct().Order(), channels.Select(c => c.GetProperty("channelId").GetString()!).Where(id => facts.Any(f => f.Channel == id)).Order());
        foreach (var channel in channels) Compare(channel, zone, [.. facts.Where(f => f.Channel == channel.GetProperty("channelId").GetString())], "channels");
    }

    /// <summary>What one user did, counted in what their feed still holds.</summary>
    public async Task ShouldEqualTheAnswerOfAsync(string user)
    {
        var now = await service.ScalarAsync<DateTime>("SELECT clock_timestamp()");
        var answer = await service.Api.GetAsync($"/api/analytics/users/{user}?startDate={now.AddDays(-364):yyyy-MM-dd'T'HH:mm:ss'Z'}&endDate={now.AddHours(1):yyyy-MM-dd'T'HH:mm:ss'Z'}");
        await using var command = service.Db.CreateCommand("""
            SELECT count(*), count(delivered_at), count(read_at), count(engaged_at), count(*) FILTER (WHERE 'clicked' = ANY(topics)), max(engaged_at) FROM feed_items WHERE user_id = $1
            """);
        command.Parameters.Add(new() { Value = user });
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        if (reader.GetInt64(0) == 0)
        {
            answer.ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
            return;
        }
        var data = answer.ShouldBe(HttpStatusCode.OK).Data;
        long[] counted = [reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3)];
        Assert.Equal(counted, UserMetrics.Select(m => data.GetProperty("totals").GetProperty(m).GetInt64()));
        Assert.Equal(counted, UserMetrics.Select(m => data.GetProperty("timeSeries").EnumerateArray().Sum(e => e.GetProperty(m).GetInt64())));
        Assert.Equal([reader.GetInt64(2), reader.GetInt64(4), reader.GetInt64(3)], new[] { "viewed", "clicked", "interacted" }.Select(m => data.GetProperty(m).GetInt64()));
        Assert.Equal(reader.IsDBNull(5) ? null : Milliseconds(reader.GetFieldValue<DateTimeOffset>(5)), data.GetProperty("lastEngagement") is { ValueKind: JsonValueKind.String } at ? Milliseconds(at.GetDateTimeOffset()) : (long?)null);

        static long? Milliseconds(DateTimeOffset at) => at.ToUnixTimeMilliseconds();
    }

    private async Task CompareAsync(string path, string query, IEnumerable<Fact> facts) =>
        Compare((await service.Api.GetAsync($"/api/analytics/{path}?{query}")).ShouldBe(HttpStatusCode.OK).Data, query.Split("timeZone=")[1].Split('&')[0], [.. facts], $"{path}?{query}");

    private static void Compare(JsonElement answer, string zone, List<Fact> facts, string what)
    {
        var (start, end) = (answer.GetProperty("startDate").GetDateTimeOffset(), answer.GetProperty("endDate").GetDateTimeOffset());
        var counted = facts.Where(f => f.At >= start && f.At < end).ToList();
        // All that happens in these tests lies in that time.
        Assert.Equal(facts.Count, counted.Count);
        var hourly = answer.GetProperty("period").GetString() == "hourly";
        string KeyOf(DateTimeOffset at) => hourly ? at.UtcDateTime.ToString("yyyy-MM-dd HH", CultureInfo.InvariantCulture)
            : TimeZoneInfo.ConvertTime(at, TimeZoneInfo.FindSystemTimeZoneById(zone)).ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

        var series = answer.GetProperty("timeSeries").EnumerateArray().ToDictionary(e => KeyOf(e.GetProperty("date").GetDateTimeOffset()));
        foreach (var metric in Metrics)
        {
            var ofMetric = counted.Where(f => f.Metric == metric).ToList();
            Assert.True(ofMetric.Sum(f => f.Count) == answer.GetProperty("totals").GetProperty(metric).GetInt64(), $"{what}: {metric} is {answer.GetProperty("totals").GetProperty(metric)}, and not {ofMetric.Sum(f => f.Count)}");
            var expected = ofMetric.GroupBy(f => KeyOf(f.At)).ToDictionary(g => g.Key, g => g.Sum(f => f.Count));
            foreach (var (key, entry) in series) Assert.True(expected.GetValueOrDefault(key) == entry.GetProperty(metric).GetInt64(), $"{what}: {metric} of {key} is {entry.GetProperty(metric)}, and not {expected.GetValueOrDefault(key)}");
        }
        var topics = counted.Where(f => f.Metric == "topic").GroupBy(f => f.Topic).Select(g => (Count: g.Sum(f => f.Count), Topic: g.Key)).OrderByDescending(t => t.Count).ThenBy(t => t.Topic, StringComparer.Ordinal).Take(50);
        Assert.Equal(topics, answer.GetProperty("topics").EnumerateArray().Select(t => (t.GetProperty("count").GetInt64(), t.GetProperty("topic").GetString()!)));
    }
}
