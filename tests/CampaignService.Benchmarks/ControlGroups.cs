using System.Diagnostics;
using System.Globalization;
using System.Net;
using CampaignService.Delivery;

namespace CampaignService.Benchmarks;

/// <summary>Figures of time and control: how exact a start and a pause are, how workers add up, and what a claim costs.</summary>
internal static class ControlGroups
{
    private const int Schedules = 200, Large = 300_000;

    /// <summary>Twenty starts a second for ten seconds, of which every fifth second has them all at once.</summary>
    public static async Task<Figure[]> ScheduleAsync(Bench bench, Product product, CancellationToken ct)
    {
        var campaigns = new List<BenchCampaign>();
        for (var i = 0; i < Schedules; i++) campaigns.Add(await product.SmallDraftAsync(5, ct));
        var start = TimeProvider.System.GetUtcNow().AddSeconds(10);
        for (var i = 0; i < Schedules; i++)
        {
            var (second, part) = (i / 20, IsCrowded(i / 20) ? 0 : i % 20 * 50);
            await product.DoAsync(campaigns[i], "schedule", new { scheduledAt = start.AddSeconds(second).AddMilliseconds(part) }, HttpStatusCode.OK, ct);
        }
        await UntilAsync(bench, "SELECT count(*) FROM campaigns WHERE status IN (1, 2)", n => n == 0, ct);
        var late = new List<double>();
        await using (var command = bench.Db.CreateCommand("SELECT extract(epoch FROM (SELECT min(done_at) FROM chunks c WHERE c.batch_id = campaigns.batch_id) - scheduled_at)::float8 FROM campaigns WHERE scheduled_at IS NOT NULL ORDER BY 1"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) late.Add(reader.GetDouble(0));
        }
        Product.Require("campaigns started by schedule", Schedules, late.Count);
        if (late[0] < 0) throw new BenchException($"A campaign started {-late[0]:0.000} s before its time.");
        await product.ClearAsync(ct);
        return
        [
            new($"Lateness of {Schedules} scheduled starts to their first delivery, 99th percentile", late[(int)Math.Ceiling(0.99 * late.Count) - 1], "s", null, 1, AtMost: true,
                string.Create(CultureInfo.InvariantCulture, $"median {late.Median():0.000} s, latest {late[^1]:0.000} s; twenty a second for ten seconds, in two of them all twenty at one moment")),
        ];

        static bool IsCrowded(int second) => second % 5 == 0;
    }

    public static async Task<Figure[]> PauseAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        var file = await RecipientFile.WriteAsync(bench.Folder.FullName, Bench.ManyRows, ct);
        var (after, answers) = (new List<double>(), new List<double>());
        for (var rep = 0; rep < reps; rep++)
        {
            var campaign = await product.DraftAsync(ct);
            await product.UploadAsync(campaign, file, ct);
            await product.DoAsync(campaign, "send", new { }, HttpStatusCode.Accepted, ct);
            var open = $"SELECT count(*) FROM chunks WHERE batch_id = {campaign.Batch} AND state = 4";
            await UntilAsync(bench, open, closed => closed >= 50, ct);
            var clock = Stopwatch.StartNew();
            await product.DoAsync(campaign, "pause", new { }, HttpStatusCode.OK, ct);
            answers.Add(clock.Elapsed.TotalSeconds);
            var answered = await bench.Db.ScalarAsync<DateTime>("SELECT clock_timestamp()", ct);
            // Two seconds more for whoever would still deliver.
            await Task.Delay(TimeSpan.FromSeconds(2), ct);
            var last = await bench.Db.ScalarAsync<DateTime>($"SELECT max(done_at) FROM chunks WHERE batch_id = {campaign.Batch}", ct);
            after.Add(Math.Max(0, (last - answered).TotalSeconds));
            var delivered = await bench.Db.ScalarAsync<long>($"SELECT sum(delivered) FROM chunks WHERE batch_id = {campaign.Batch}", ct);
            Product.Require("feed rows of the paused campaign", delivered, await bench.Db.ScalarAsync<long>($"SELECT count(*) FROM feed_items WHERE source_id = {campaign.Batch}", ct));
            if (delivered == Bench.ManyRows) throw new BenchException("The campaign had ended before it was paused.");
            await product.DoAsync(campaign, "stop", new { }, HttpStatusCode.OK, ct);
            await product.ClearAsync(ct);
        }
        return
        [
            new("Last delivery of a running 1,000,000 after the answer to its pause", after.Max(), "s", null, 2, AtMost: true,
                $"the worst of {reps}; the answer itself after {answers.Seconds()}"),
        ];
    }

    public static async Task<Figure[]> FairnessAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        var file = await RecipientFile.WriteAsync(bench.Folder.FullName, Large, ct);
        var small = new List<double>();
        for (var rep = 0; rep < Math.Min(reps, 3); rep++)
        {
            var large = new List<BenchCampaign>();
            for (var i = 0; i < 4; i++)
            {
                large.Add(await product.DraftAsync(ct));
                await product.UploadAsync(large[i], file, ct);
            }
            var late = await product.SmallDraftAsync(10, ct);
            foreach (var campaign in large) await product.DoAsync(campaign, "send", new { }, HttpStatusCode.Accepted, ct);
            small.Add((await product.SendUntilEndedAsync(late, ct)).TotalSeconds);
            if (await bench.Db.ScalarAsync<long>("SELECT count(*) FROM batches WHERE state = 2", ct) == 0) throw new BenchException("The large campaigns had ended before the small one.");
            foreach (var campaign in large) await product.DoAsync(campaign, "stop", new { }, HttpStatusCode.OK, ct);
            await product.ClearAsync(ct);
        }
        return [new("A campaign of 10 launched behind four of 300,000", small.Max(), "s", null, 10, AtMost: true, $"the worst of {small.Seconds()}")];
    }

    /// <summary>The second worker is frozen while the first is measured alone: both are warm, and neither is started anew.</summary>
    public static async Task<Figure[]> WorkersAsync(Bench bench, int reps, CancellationToken ct)
    {
        await using var api = await bench.StartProcessAsync("api", 0, ct);
        await using var first = await bench.StartProcessAsync("worker", 1, ct);
        await using var second = await bench.StartProcessAsync("worker", 1, ct);
        using var product = new Product(api, bench.Db);
        await product.PrepareAsync(ct);
        var file = await RecipientFile.WriteAsync(bench.Folder.FullName, Large, ct);
        // The second delivers only half of each other campaign: it would come to its compiled code while it is measured.
        for (var i = 0; i < Bench.WarmUps; i++) await RunAsync();
        var (one, two) = (new List<double>(), new List<double>());
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                await SignalAsync("-STOP", second.Id, ct);
                var time = await RunAsync();
                await SignalAsync("-CONT", second.Id, ct);
                if (measured) one.Add(time.TotalSeconds);
            },
            async measured =>
            {
                var time = await RunAsync();
                if (measured) two.Add(time.TotalSeconds);
            });
        return
        [
            new("Two worker processes of one loop each, speed against one of them", one.Ratios(two).Median(), "x", null, 1.3, AtMost: false,
                string.Create(CultureInfo.InvariantCulture, $"{Large:N0} recipients: one {one.Seconds()}, {one.Rate(Large)}; two {two.Seconds()}, {two.Rate(Large)}")),
        ];

        async Task<TimeSpan> RunAsync()
        {
            var campaign = await product.DraftAsync(ct);
            await product.UploadAsync(campaign, file, ct);
            await bench.CheckpointAsync(ct);
            var time = await product.SendUntilEndedAsync(campaign, ct);
            await product.RecountAsync(campaign, Large, ct);
            await product.ClearAsync(ct);
            return time;
        }
    }

    /// <summary>Four clients at once take 8,000 of 10,000 ready chunks of 1,000 batches and 50 apps; nobody works on them.</summary>
    public static async Task<Figure[]> ClaimAsync(Bench bench, int reps, CancellationToken ct)
    {
        const int clients = 4, claims = 2_000;
        await using (await bench.StartProcessAsync("api", 0, ct))
        {
            // It has made the tables.
        }
        await using var pool = bench.DeliveryPool(clients);
        var queue = new ChunkQueue(pool);
        var times = new List<double>();
        for (var rep = 0; rep <= reps; rep++)
        {
            await bench.Db.ExecuteAsync("""
                TRUNCATE chunks;
                INSERT INTO chunks (batch_id, no, channel_no, app_no, lane, turn, n, first_user, last_user, state)
                  SELECT 1000000 + batch, no, 1, batch % 50, 1, no, 2000, 'a', 'b', 1 FROM generate_series(1, 1000) AS batch, generate_series(0, 9) AS no;
                ANALYZE chunks;
                UPDATE delivery_pulse SET at = clock_timestamp();
                """, ct);
            var taken = new HashSet<(long, int)>();
            var clock = Stopwatch.StartNew();
            await Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
            {
                var app = -1;
                for (var i = 0; i < claims; i++)
                {
                    var chunk = await queue.ClaimAsync(app, ct) ?? throw new BenchException("No chunk although some are ready.");
                    app = chunk.AppNo;
                    lock (taken) taken.Add((chunk.BatchId, chunk.No));
                }
            }));
            if (rep > 0) times.Add(clock.Elapsed.TotalMilliseconds / claims);
            Product.Require("different chunks claimed", clients * claims, taken.Count);
        }
        await bench.Db.ExecuteAsync("TRUNCATE chunks", ct);
        return
        [
            new("A claim among 10,000 ready chunks of 1,000 batches and 50 apps, four clients", times.Median(), "ms", null, 2, AtMost: true,
                $"mean of 8,000 claims, none double: {string.Join(", ", times.Select(t => t.ToString("0.00", CultureInfo.InvariantCulture)))} ms"),
        ];
    }

    internal static async Task UntilAsync(Bench bench, string sql, Func<long, bool> reached, CancellationToken ct)
    {
        while (!reached(await bench.Db.ScalarAsync<long>(sql, ct))) await Task.Delay(1, ct);
    }

    private static async Task SignalAsync(string signal, int process, CancellationToken ct)
    {
        using var kill = Process.Start("kill", [signal, process.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync(ct);
    }
}
