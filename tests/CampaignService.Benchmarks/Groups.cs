using System.Globalization;

namespace CampaignService.Benchmarks;

/// <summary>Figures that are measured together.</summary>
internal sealed record Group(string Name, bool IsLong, Func<Bench, Product?, ServiceProcess?, int, CancellationToken, Task<Figure[]>> MeasureAsync, int MaxRows);

internal static class Groups
{
    public static readonly Group[] All =
    [
        new("upload", false, (b, p, s, n, ct) => UploadAsync(b, p!, s!, n, ct), Bench.Rows),
        new("sending", false, (b, p, _, n, ct) => SendingAsync(b, p!, n, ct), Bench.Rows),
        new("whole", false, (b, p, _, n, ct) => WholeAsync(b, p!, n, ct), Bench.Rows),
        new("million", true, (b, p, s, n, ct) => MillionAsync(b, p!, s!, n, ct), Bench.ManyRows),
        new("schedule", false, (b, p, _, _, ct) => ControlGroups.ScheduleAsync(b, p!, ct), Bench.Rows),
        new("pause", true, (b, p, _, n, ct) => ControlGroups.PauseAsync(b, p!, n, ct), Bench.ManyRows),
        new("fairness", true, (b, p, _, n, ct) => ControlGroups.FairnessAsync(b, p!, n, ct), Bench.ManyRows),
        new("realtime", false, (b, p, s, n, ct) => NotificationGroups.RealtimeAsync(b, p!, s!, n, ct), Bench.Rows),
        new("direct", true, (b, p, _, n, ct) => NotificationGroups.UnderLoadAsync(b, p!, n, ct), Bench.ManyRows),
        new("external-loopback", false, (b, p, s, n, ct) => ExternalGroups.LoopbackAsync(b, p!, s!, n, ct), Bench.Rows),
        new("external-slow", true, (b, p, _, n, ct) => ExternalGroups.SlowAsync(b, p!, n, ct), Bench.Rows),
        new("external-memory", true, (b, p, s, _, ct) => ExternalGroups.MemoryAsync(b, p!, s!, ct), Bench.ManyRows),
        new("external-rate", true, (b, p, _, _, ct) => ExternalGroups.RateAsync(b, p!, ct), Bench.Rows),
        new("feed", true, (b, p, _, _, ct) => FeedGroups.ReadAsync(b, p!, ct), Bench.Rows),
        new("workers", false, (b, _, _, n, ct) => ControlGroups.WorkersAsync(b, n, ct), 0),
        new("claim", false, (b, _, _, n, ct) => ControlGroups.ClaimAsync(b, n, ct), 0),
        new("start", false, (b, _, _, n, ct) => StartAsync(b, n, ct), 0),
    ];

    private static async Task<Figure[]> UploadAsync(Bench bench, Product product, ServiceProcess service, int reps, CancellationToken ct)
    {
        var (ours, columns, array) = (new List<double>(), new List<double>(), new List<double>());
        await using var memory = new MemoryWatch(service.Id);
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                var campaign = await product.DraftAsync(ct);
                await bench.CheckpointAsync(ct);
                var time = await product.UploadAsync(campaign, bench.File, ct);
                await product.ClearAsync(ct);
                if (measured) ours.Add(time.TotalSeconds);
            },
            async measured =>
            {
                await bench.CheckpointAsync(ct);
                var time = await bench.References.CopyColumnsAsync(bench.File, ct);
                if (measured) columns.Add(time.TotalSeconds);
                await bench.References.ClearAsync(ct);
            },
            async measured =>
            {
                await bench.CheckpointAsync(ct);
                var time = await bench.References.CopyArrayAsync(bench.File, ct);
                if (measured) array.Add(time.TotalSeconds);
                await bench.References.ClearAsync(ct);
            });
        return
        [
            new("Upload of 100,000 rows over HTTP, speed against `psql \\copy`", columns.Ratios(ours).Median(), "x", 1.0, 0.8, AtMost: false,
                $"product {ours.Seconds()}, {ours.Rate(Bench.Rows)}; \\copy into 3 columns {columns.Seconds()}; \\copy into text[] {array.Seconds()}, which is {Ratio(array, ours)} of it"),
            new("Resident memory during that upload", memory.PeakMegabytes, "MB", null, 350, AtMost: true, "the most of all repetitions"),
        ];
    }

    private static async Task<Figure[]> SendingAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        var (ours, sorted, unsorted) = (new List<(double Time, double Wal)>(), new List<(double Time, double Wal)>(), new List<(double Time, double Wal)>());
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                var campaign = await product.DraftAsync(ct);
                await product.UploadAsync(campaign, bench.File, ct);
                var run = await WithWalAsync(bench, () => product.SendUntilEndedAsync(campaign, ct), ct);
                await product.RecountAsync(campaign, Bench.Rows, ct);
                await product.ClearAsync(ct);
                if (measured) ours.Add(run);
            },
            async measured =>
            {
                await bench.References.CopyRecipientsAsync(bench.File, ct);
                await bench.References.SortRecipientsAsync(ct);
                var run = await ReferenceSendingAsync(bench, ct);
                if (measured) sorted.Add(run);
            },
            async measured =>
            {
                await bench.References.CopyRecipientsAsync(bench.File, ct);
                var run = await ReferenceSendingAsync(bench, ct);
                if (measured) unsorted.Add(run);
            });
        double[] time = [.. ours.Select(r => r.Time)], reference = [.. sorted.Select(r => r.Time)], other = [.. unsorted.Select(r => r.Time)];
        double[] wal = [.. ours.Select(r => r.Wal)], referenceWal = [.. sorted.Select(r => r.Wal)], otherWal = [.. unsorted.Select(r => r.Wal)];
        return
        [
            new("Sending to 100,000 in-app, speed against one SQL statement", reference.Ratios(time).Median(), "x", 2.2, 1.5, AtMost: false,
                $"product {time.Seconds()}, {time.Rate(Bench.Rows)}; the statement, recipients in order of id, {reference.Seconds()}; in order of the file {other.Seconds()}, which is {Ratio(other, time)} of it"),
            new("WAL of a delivery, against the same statement", wal.Ratios(referenceWal).Median(), "x", 0.42, 0.6, AtMost: true,
                string.Create(CultureInfo.InvariantCulture, $"product {wal.Median():0} B; the statement {referenceWal.Median():0} B; in order of the file {otherWal.Median():0} B")),
        ];
    }

    private static async Task<Figure[]> WholeAsync(Bench bench, Product product, int reps, CancellationToken ct)
    {
        var (ours, theirs) = (new List<double>(), new List<double>());
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                var campaign = await product.DraftAsync(ct);
                await bench.CheckpointAsync(ct);
                var time = await product.UploadAsync(campaign, bench.File, ct) + await product.SendUntilEndedAsync(campaign, ct);
                await product.RecountAsync(campaign, Bench.Rows, ct);
                await product.ClearAsync(ct);
                if (measured) ours.Add(time.TotalSeconds);
            },
            async measured =>
            {
                await bench.CheckpointAsync(ct);
                var time = await bench.References.CopyRecipientsAsync(bench.File, ct);
                await bench.References.AnalyzeAsync(ct);
                time += await bench.References.SendAsync(Bench.Rows, ct);
                await bench.References.ClearAsync(ct);
                if (measured) theirs.Add(time.TotalSeconds);
            });
        return
        [
            new("From the file to the last feed row, speed against `\\copy` and that statement", theirs.Ratios(ours).Median(), "x", 1.3, 0.9, AtMost: false,
                $"product {ours.Seconds()}, {ours.Rate(Bench.Rows)}; \\copy and the statement {theirs.Seconds()}"),
        ];
    }

    private static async Task<Figure[]> MillionAsync(Bench bench, Product product, ServiceProcess service, int reps, CancellationToken ct)
    {
        var many = await RecipientFile.WriteAsync(bench.Folder.FullName, Bench.ManyRows, ct);
        var (few, upload, sending) = (new List<(double Upload, double Sending)>(), new List<double>(), new List<double>());
        await using var memory = new MemoryWatch(service.Id);
        await Bench.InterleaveAsync(reps, ct,
            async measured =>
            {
                var run = await OneAsync(bench.File);
                if (measured) few.Add(run);
            },
            async measured =>
            {
                var run = await OneAsync(many);
                if (!measured) return;
                upload.Add(run.Upload);
                sending.Add(run.Sending);
            });
        var (fewUploads, fewSendings) = (few.Select(r => r.Upload * 10).ToArray(), few.Select(r => r.Sending * 10).ToArray());
        return
        [
            new("Upload of 1,000,000 rows, rows/s against those of 100,000", fewUploads.Ratios(upload).Median(), "x", null, 0.75, AtMost: false,
                $"{upload.Seconds()}, {upload.Rate(Bench.ManyRows)}; ten times 100,000 {fewUploads.Seconds()}"),
            new("Sending to 1,000,000, deliveries/s against those of 100,000", fewSendings.Ratios(sending).Median(), "x", null, 0.75, AtMost: false,
                $"{sending.Seconds()}, {sending.Rate(Bench.ManyRows)}; ten times 100,000 {fewSendings.Seconds()}"),
            new("Resident memory during upload and sending of 1,000,000", memory.PeakMegabytes, "MB", null, 700, AtMost: true, "the most of all repetitions"),
        ];

        async Task<(double Upload, double Sending)> OneAsync(RecipientFile file)
        {
            var campaign = await product.DraftAsync(ct);
            await bench.CheckpointAsync(ct);
            var upload = await product.UploadAsync(campaign, file, ct);
            await bench.CheckpointAsync(ct);
            var sending = await product.SendUntilEndedAsync(campaign, ct);
            await product.RecountAsync(campaign, file.Rows, ct);
            await product.ClearAsync(ct);
            return (upload.TotalSeconds, sending.TotalSeconds);
        }
    }

    private static async Task<Figure[]> StartAsync(Bench bench, int reps, CancellationToken ct)
    {
        var (first, again) = (new List<double>(), new List<double>());
        for (var rep = 0; rep < reps; rep++)
        {
            var home = bench.Folder.Sub($"start-{rep}");
            foreach (var times in new[] { first, again })
            {
                await using var service = await ServiceProcess.StartAsync(bench.Folder, new() { ["Embedded__DataDirectory"] = home }, ct);
                times.Add(service.ReadyAfter.TotalSeconds);
            }
        }
        return
        [
            new("Ready from nothing, the database made and started", first.Median(), "s", null, 5, AtMost: true, first.Seconds()),
            new("Ready with the data of before, the database started", again.Median(), "s", null, 3, AtMost: true, again.Seconds()),
        ];
    }

    private static async Task<(double Time, double Wal)> ReferenceSendingAsync(Bench bench, CancellationToken ct)
    {
        await bench.References.AnalyzeAsync(ct);
        var run = await WithWalAsync(bench, () => bench.References.SendAsync(Bench.Rows, ct), ct);
        await bench.References.ClearAsync(ct);
        return run;
    }

    /// <summary>The time that the work itself reports, and its WAL for each delivery.</summary>
    private static async Task<(double Time, double Wal)> WithWalAsync(Bench bench, Func<Task<TimeSpan>> work, CancellationToken ct)
    {
        await bench.CheckpointAsync(ct);
        var before = await bench.Db.ScalarAsync<long>(Sql.WalPosition, ct);
        var time = await work();
        return (time.TotalSeconds, (await bench.Db.ScalarAsync<long>(Sql.WalPosition, ct) - before) / (double)Bench.Rows);
    }

    private static string Ratio(IEnumerable<double> above, IEnumerable<double> below) =>
        above.Ratios(below).Median().ToString("0.00", CultureInfo.InvariantCulture) + " x the time";
}
