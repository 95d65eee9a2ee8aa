using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace CampaignService.Benchmarks;

/// <summary>Figures of direct notifications: how many a second, and how long one takes while a campaign is being sent.</summary>
internal static class NotificationGroups
{
    private const int Connections = 32, Clients = 16, PerSecond = 200;
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(5);

    /// <summary>What a backend without this service would do at the least: look the template up, insert a row.</summary>
    private const string Reference = """
        \set user random(1, 1000000)
        SELECT content FROM template_versions WHERE template_id = (SELECT min(template_id) FROM template_versions) AND version = 1;
        INSERT INTO reference_feed (app_no, channel_no, id, source_id, user_id, vars) VALUES (1, 1, next_id(), 1, 'user-' || :user, ARRAY['Ann', 'Rome', '4711']);
        """;

    public static async Task<Figure[]> RealtimeAsync(Bench bench, Product product, ServiceProcess service, int reps, CancellationToken ct)
    {
        var (ours, theirs, each) = (new List<double>(), new List<double>(), new List<ProcessorTimes>());
        await service.WarmUpAsync(() => ProductRateAsync(bench, product, ct));
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                await bench.CheckpointAsync(ct);
                var before = await ProcessorTimes.NowAsync(bench, service, ct);
                var rate = await ProductRateAsync(bench, product, ct);
                if (!measured) return;
                ours.Add(rate);
                each.Add(await ProcessorTimes.NowAsync(bench, service, ct) - before);
            },
            async measured =>
            {
                await bench.CheckpointAsync(ct);
                var rate = await bench.Pgbench.RateAsync(Reference, Clients, Time, ct);
                await bench.References.ClearAsync(ct);
                if (measured) theirs.Add(rate);
            });
        return
        [
            new($"Direct sends over {Connections} connections, rate against pgbench with one select and one insert, {Clients} clients", ours.Ratios(theirs).Median(), "x", null, 1.2, AtMost: false,
                string.Create(CultureInfo.InvariantCulture, $"product {Rates(ours)}; pgbench {Rates(theirs)}; each over {Time.TotalSeconds:0} s. Processor time of a send: service {Median(t => t.Service):0} us, database {Median(t => t.Database):0} us, whoever sends {Median(t => t.Bench):0} us")),
        ];

        double Median(Func<ProcessorTimes, double> of) => ours.Zip(each, (rate, times) => of(times) / (rate * Time.TotalSeconds) * 1e6).ToList().Median();
    }

    /// <summary>At a fixed rate, and a time counts from when the send was due, not from when a late one could begin.</summary>
    public static async Task<Figure[]> UnderLoadAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        var file = await RecipientFile.WriteAsync(bench.Folder.FullName, Bench.ManyRows, ct);
        var (idle, loaded) = (new List<double>(), new List<double>());
        await LatencyAsync(product, ct);
        for (var rep = 0; rep < Math.Min(reps, 3); rep++)
        {
            idle.Add(await LatencyAsync(product, ct));
            var campaign = await product.DraftAsync(ct);
            await product.UploadAsync(campaign, file, ct);
            await product.DoAsync(campaign, "send", new { }, HttpStatusCode.Accepted, ct);
            loaded.Add(await LatencyAsync(product, ct));
            if (await bench.Db.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE state = 4", ct) < 2) throw new BenchException("Nothing of the campaign was sent meanwhile.");
            await product.DoAsync(campaign, "stop", new { }, null, ct);
            await product.ClearAsync(ct);
        }
        var limit = Math.Max(25, 3 * idle.Median());
        return
        [
            new($"A direct send at {PerSecond} a second while 1,000,000 are being sent, 99th percentile, against the larger of 25 ms and three times that of an idle service", loaded.Median() / limit, "x", null, 1, AtMost: true,
                string.Create(CultureInfo.InvariantCulture, $"{loaded.Median():0.0} ms ({Each(loaded)}); idle {idle.Median():0.0} ms ({Each(idle)})")),
        ];
    }

    private static async Task<double> ProductRateAsync(Bench bench, Product product, CancellationToken ct)
    {
        using var sends = product.OpenDirectSends(Connections);
        var clock = Stopwatch.StartNew();
        var sent = await Task.Factory.StartNew(() => sends.Run(Time, ct), ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var rate = sent / clock.Elapsed.TotalSeconds;
        Product.Require("feed rows of the direct sends", sent, await bench.Db.ScalarAsync<long>("SELECT count(*) FROM feed_items", ct));
        await product.ClearAsync(ct);
        return rate;
    }

    /// <returns>The 99th percentile in milliseconds over four seconds.</returns>
    private static async Task<double> LatencyAsync(Product product, CancellationToken ct)
    {
        var (clock, sends) = (Stopwatch.StartNew(), new List<Task<double>>());
        for (var i = 0; i < 4 * PerSecond; i++)
        {
            var due = TimeSpan.FromSeconds((double)i / PerSecond);
            if (due - clock.Elapsed is { Ticks: > 0 } wait) await Task.Delay(wait, ct);
            sends.Add(SendAsync(i, due));
        }
        var times = await Task.WhenAll(sends);
        return times.Order().ElementAt((int)(times.Length * 0.99));

        async Task<double> SendAsync(int i, TimeSpan due)
        {
            await product.NotifyAsync($"user-{i}", ct);
            return (clock.Elapsed - due).TotalMilliseconds;
        }
    }

    private static string Rates(IReadOnlyList<double> rates) => string.Create(CultureInfo.InvariantCulture, $"{rates.Median():0}/s ({string.Join(", ", rates.Select(r => r.ToString("0", CultureInfo.InvariantCulture)))})");

    private static string Each(IEnumerable<double> times) => string.Join(", ", times.Select(t => t.ToString("0.0", CultureInfo.InvariantCulture)));
}
