using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;

namespace CampaignService.Benchmarks;

/// <summary>Figures of sending to servers of others: against a bare loop of an HTTP client, against what concurrency allows, and under a limit.</summary>
internal static class ExternalGroups
{
    /// <summary>The default of a channel, and a large one.</summary>
    private static readonly int[] Concurrencies = [256, 1024];

    private static readonly TimeSpan Slow = TimeSpan.FromMilliseconds(50), RateTime = TimeSpan.FromSeconds(30);

    /// <summary>The same number of calls of the same size by the same number of callers, from this process.</summary>
    public static async Task<Figure[]> LoopbackAsync(Bench bench, Product product, ServiceProcess service, int reps, CancellationToken ct)
    {
        var figures = new List<Figure>();
        foreach (var concurrency in Concurrencies) figures.Add(await LoopbackAsync(bench, product, service, reps, concurrency, ct));
        return [.. figures];
    }

    private static async Task<Figure> LoopbackAsync(Bench bench, Product product, ServiceProcess service, int reps, int concurrency, CancellationToken ct)
    {
        await using var sink = await BenchSink.StartAsync();
        var template = await product.WebhookTemplateAsync(sink.Url, new { maxConcurrency = concurrency }, ct);
        var (ours, bare) = (new List<double>(), new List<double>());
        var (processor, itsDatabase, itsLoop) = (new List<double>(), new List<double>(), new List<double>());
        // Both sides in turn: the server of the calls is compiled with them.
        await service.WarmUpAsync(async () =>
        {
            await SendAsync(bench, product, sink, template, bench.File, ct);
            await BareAsync(sink, Bench.Rows, concurrency, ct);
        });
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                var campaign = await UploadedAsync(bench, product, template, bench.File, ct);
                var (sunk, before) = (sink.Taken, await ProcessorTimes.NowAsync(bench, service, ct));
                var time = await product.SendUntilEndedAsync(campaign, ct, () => sink.UntilAsync(sunk + Bench.Rows, ct));
                var used = await ProcessorTimes.NowAsync(bench, service, ct) - before;
                await CheckAsync(bench, product, sink, campaign, bench.File, sunk, ct);
                if (!measured) return;
                ours.Add(Bench.Rows / time.TotalSeconds);
                processor.Add(used.Service / Bench.Rows * 1e6);
                itsDatabase.Add(used.Database / Bench.Rows * 1e6);
            },
            async measured =>
            {
                var before = ProcessorTimes.Of(Environment.ProcessId);
                var time = await BareAsync(sink, Bench.Rows, concurrency, ct);
                if (!measured) return;
                bare.Add(Bench.Rows / time.TotalSeconds);
                itsLoop.Add((ProcessorTimes.Of(Environment.ProcessId) - before) / Bench.Rows * 1e6);
            });
        return new($"Webhook messages to a server on loopback, {concurrency:N0} at once, rate against a bare loop of HttpClient", ours.Ratios(bare).Median(), "x", 0.9, 0.8, AtMost: false,
            string.Create(CultureInfo.InvariantCulture, $"product {Rates(ours)}; bare loop {Rates(bare)}; {Bench.Rows:N0} messages of {sink.LastBytes} B each. Processor time of a message: service {processor.Median():0} us, database {itsDatabase.Median():0} us; of a call of the bare loop with its server {itsLoop.Median():0} us"));
    }

    public static async Task<Figure[]> SlowAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        await using var sink = await BenchSink.StartAsync(Slow);
        var figures = new List<Figure>();
        foreach (var (concurrency, floor) in Concurrencies.Zip([0.85, 0.7]))
        {
            var template = await product.WebhookTemplateAsync(sink.Url, new { maxConcurrency = concurrency }, ct);
            var ideal = concurrency / Slow.TotalSeconds;
            var rates = new List<double>();
            for (var rep = 0; rep <= Math.Min(reps, 3); rep++)
            {
                var time = await SendAsync(bench, product, sink, template, bench.File, ct);
                if (rep > 0) rates.Add(Bench.Rows / time.TotalSeconds);
            }
            figures.Add(new($"Webhook messages to a server that takes {Slow.TotalMilliseconds:0} ms, {concurrency:N0} at once, rate against {concurrency:N0} / {Slow.TotalMilliseconds:0} ms", rates.Median() / ideal, "x", null, floor, AtMost: false, $"{Rates(rates)} of {ideal:0}/s"));
        }
        return [.. figures];
    }

    public static async Task<Figure[]> MemoryAsync(Bench bench, Product product, ServiceProcess service, CancellationToken ct)
    {
        await using var sink = await BenchSink.StartAsync();
        var template = await product.WebhookTemplateAsync(sink.Url, new { maxConcurrency = 256 }, ct);
        var few = await RecipientFile.WriteAsync(bench.Folder.FullName, 10_000, ct);
        var many = await RecipientFile.WriteAsync(bench.Folder.FullName, Bench.ManyRows, ct);
        var (peaks, rates) = (new List<double>(), new List<double>());
        // The first warms up; the upload of a million takes memory of its own and is not what is measured.
        foreach (var file in new[] { few, few, many })
        {
            var campaign = await product.DraftAsync(ct, template);
            await product.UploadAsync(campaign, file, ct);
            var before = sink.Taken;
            await using var memory = new MemoryWatch(service.Id);
            var time = await product.SendUntilEndedAsync(campaign, ct);
            Product.Require("messages at the server", file.Rows, sink.Taken - before);
            peaks.Add(memory.PeakMegabytes);
            rates.Add(file.Rows / time.TotalSeconds);
            await product.ClearAsync(ct);
        }
        return
        [
            new("Resident memory while 1,000,000 webhook messages go, against 10,000", peaks[2] / peaks[1], "x", null, 1.5, AtMost: true,
                string.Create(CultureInfo.InvariantCulture, $"{peaks[2]:0} MB; 10,000 {peaks[1]:0} MB; {rates[2]:0}/s and {rates[1]:0}/s")),
        ];
    }

    /// <summary>Three processes, one limit.</summary>
    public static async Task<Figure[]> RateAsync(Bench bench, Product product, CancellationToken ct)
    {
        const int perSecond = 100;
        await using var sink = await BenchSink.StartAsync();
        var template = await product.WebhookTemplateAsync(sink.Url, new { ratePerSecond = perSecond }, ct);
        await using var second = await bench.StartProcessAsync("worker", 2, ct);
        await using var third = await bench.StartProcessAsync("worker", 2, ct);
        var campaign = await product.DraftAsync(ct, template);
        await product.UploadAsync(campaign, bench.File, ct);
        await product.DoAsync(campaign, "send", new { }, System.Net.HttpStatusCode.Accepted, ct);
        // Two seconds' worth: by then all three are at it.
        await sink.UntilAsync(2 * perSecond, ct);
        var times = await sink.ListenAsync(RateTime, ct);
        await product.DoAsync(campaign, "stop", new { }, System.Net.HttpStatusCode.OK, ct);
        var workers = await bench.Db.ScalarAsync<long>("SELECT count(DISTINCT lease_token) FROM chunks WHERE lease_token IS NOT NULL", ct);
        await ControlGroups.UntilAsync(bench, "SELECT count(*) FROM batches WHERE state IN (2, 4)", n => n == 0, ct);
        await product.ClearAsync(ct);
        var inSeconds = times.GroupBy(t => (long)t.TotalSeconds).Select(g => g.Count()).ToArray();
        return
        [
            new($"Webhook messages a second under a limit of {perSecond} over three processes, mean over {RateTime.TotalSeconds:0} s at the server", times.Count / RateTime.TotalSeconds, "/s", 99, 95, AtMost: false,
                $"in single seconds {inSeconds.Min()} to {inSeconds.Max()}; {workers} chunks in hand at the end"),
        ];
    }

    private static async Task<TimeSpan> SendAsync(Bench bench, Product product, BenchSink sink, string template, RecipientFile file, CancellationToken ct)
    {
        var campaign = await UploadedAsync(bench, product, template, file, ct);
        var before = sink.Taken;
        var time = await product.SendUntilEndedAsync(campaign, ct, () => sink.UntilAsync(before + file.Rows, ct));
        await CheckAsync(bench, product, sink, campaign, file, before, ct);
        return time;
    }

    private static async Task<BenchCampaign> UploadedAsync(Bench bench, Product product, string template, RecipientFile file, CancellationToken ct)
    {
        var campaign = await product.DraftAsync(ct, template);
        await product.UploadAsync(campaign, file, ct);
        await bench.CheckpointAsync(ct);
        return campaign;
    }

    /// <summary>A fast result counts only when it is right; then everything is emptied.</summary>
    private static async Task CheckAsync(Bench bench, Product product, BenchSink sink, BenchCampaign campaign, RecipientFile file, long before, CancellationToken ct)
    {
        Product.Require("messages at the server", file.Rows, sink.Taken - before);
        Product.Require("delivered by its chunks", file.Rows, await bench.Db.ScalarAsync<long>($"SELECT sum(delivered) FROM chunks WHERE batch_id = {campaign.Batch}", ct));
        await product.ClearAsync(ct);
    }

    private static async Task<TimeSpan> BareAsync(BenchSink sink, int calls, int concurrency, CancellationToken ct)
    {
        using var http = new HttpMessageInvoker(new SocketsHttpHandler { ActivityHeadersPropagator = null });
        var (url, body, left) = (new Uri(sink.Url), Encoding.UTF8.GetBytes(new string('x', sink.LastBytes)), calls);
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, concurrency).Select(caller => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
            {
                using var content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
                using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = content };
                request.Headers.TryAddWithoutValidation("Idempotency-Key", $"msg_{caller:000000}_{left:0000000000000}");
                using var response = await http.SendAsync(request, ct);
                response.EnsureSuccessStatusCode();
            }
        }, ct)));
        return clock.Elapsed;
    }

    private static string Rates(IReadOnlyList<double> rates) => string.Create(CultureInfo.InvariantCulture, $"{rates.Median():0}/s ({string.Join(", ", rates.Select(r => r.ToString("0", CultureInfo.InvariantCulture)))})");
}
