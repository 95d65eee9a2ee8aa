using System.Diagnostics;
using System.Globalization;

namespace CampaignService.Benchmarks;

/// <summary>What a reader of the feed pays for the feeds of all others.</summary>
internal static class FeedGroups
{
    private const int Few = 100_000, Many = 50_000_000, PerUser = 100, Readings = 500;

    /// <summary>
    /// 100 items for each user, half of them read, in the order of the key, which is how the fastest of all inserts goes; each is of the
    /// one notification whose number stands first. Without a log, for only reading is measured.
    /// </summary>
    private static string Fill(int rows) => $"""
        DO $do$ DECLARE source bigint; partition regclass; first bigint := next_id() - {rows};
        BEGIN
          SELECT source_id, tableoid::regclass INTO source, partition FROM feed_items LIMIT 1;
          TRUNCATE feed_items;
          EXECUTE format('ALTER TABLE %s SET UNLOGGED', partition);
          INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars, read_at)
          SELECT (SELECT min(no) FROM apps), (SELECT min(no) FROM channels), first + n, source, 'reader-' || lpad((n / {PerUser})::text, 7, '0'), ARRAY['Ann', 'Rome', '4711'],
            CASE WHEN n % 2 = 0 THEN clock_timestamp() END
          FROM generate_series(0, {rows} - 1) AS n;
        END $do$
        """;

    public static async Task<Figure[]> ReadAsync(Bench bench, Product product, CancellationToken ct)
    {
        var few = await MeasureAsync(bench, product, Few, ct);
        var many = await MeasureAsync(bench, product, Many, ct);
        await product.ClearAsync(ct);
        await bench.Db.ExecuteAsync("""
            DO $do$ DECLARE partition regclass;
            BEGIN
              FOR partition IN SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'feed_items'::regclass AND c.relpersistence = 'u'
              LOOP EXECUTE format('ALTER TABLE %s SET LOGGED', partition); END LOOP;
            END $do$
            """, ct);
        return
        [
            Figure("A page of the feed among 50,000,000 items, time against that among 100,000", few.Page, many.Page),
            Figure("An unread count among 50,000,000 items, time against that among 100,000", few.Count, many.Count),
        ];
    }

    private static Figure Figure(string name, double few, double many) =>
        new(name, many / few, "x", null, 2, AtMost: true, string.Create(CultureInfo.InvariantCulture, $"{many:0.00} ms; among 100,000 {few:0.00} ms; medians of {Readings} users at random"));

    private static async Task<(double Page, double Count)> MeasureAsync(Bench bench, Product product, int rows, CancellationToken ct)
    {
        await product.NotifyAsync("reader-0000000", ct);
        await bench.Db.ExecuteAsync(Fill(rows), ct);
        await bench.Db.ExecuteAsync("VACUUM (ANALYZE) feed_items", ct);
        await bench.CheckpointAsync(ct);
        var (random, pages, counts) = (new Random(rows), new List<double>(), new List<double>());
        for (var i = -Readings; i < Readings; i++)
        {
            var user = $"reader-{random.Next(rows / PerUser):0000000}";
            var clock = Stopwatch.StartNew();
            var page = await product.ReadFeedAsync("", user, ct);
            var pageTime = clock.Elapsed.TotalMilliseconds;
            clock.Restart();
            var count = await product.ReadFeedAsync("/unread-count", user, ct);
            var countTime = clock.Elapsed.TotalMilliseconds;
            Product.Require("items of a page", 20, page.GetArrayLength());
            Product.Require("unread", PerUser / 2, count.GetProperty("count").GetInt64());
            // The first half is not measured: code is compiled and caches fill.
            if (i < 0) continue;
            pages.Add(pageTime);
            counts.Add(countTime);
        }
        return (pages.Median(), counts.Median());
    }
}
