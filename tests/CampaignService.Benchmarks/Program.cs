using System.Runtime.InteropServices;
using CampaignService.Benchmarks;

if (Options.Parse(args) is not { } options)
{
    Console.Error.WriteLine(Options.Usage);
    return 2;
}

// A run takes some minutes; one that hangs ends by itself, and cleans up as if it had been stopped.
using var stop = new CancellationTokenSource(TimeSpan.FromMinutes(45));
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, End);
try
{
    return await RunAsync(options, stop.Token) ? 0 : 1;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    Console.Error.WriteLine("Stopped before the end; nothing was written.");
    return 130;
}
catch (BenchException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

void End(PosixSignalContext signal)
{
    signal.Cancel = true;
    stop.Cancel();
}

static async Task<bool> RunAsync(Options options, CancellationToken ct)
{
    var machine = Machine.Current();
    await using var bench = await Bench.CreateAsync(ct);
    var figures = new List<Figure>();
    var groups = Groups.All.Where(g => g.Name.Contains(options.Filter, StringComparison.Ordinal) && !(options.Quick && g.IsLong));
    // A service for each setting of its limits, since limits are settings of the process.
    foreach (var sameLimits in groups.GroupBy(g => g.MaxRows))
    {
        if (sameLimits.Key == 0)
        {
            foreach (var group in sameLimits) figures.AddRange(Shown(await group.MeasureAsync(bench, null, null, options.Reps, ct)));
            continue;
        }
        var (service, product) = await bench.StartServiceAsync(sameLimits.Key, ct);
        await using (service)
        using (product)
        {
            foreach (var group in sameLimits) figures.AddRange(Shown(await group.MeasureAsync(bench, product, service, options.Reps, ct)));
        }
    }
    if (options.Write) await Report.WriteAsync(bench, machine, figures, ct);
    return figures.TrueForAll(f => f.MeetsFloor);
}

static Figure[] Shown(Figure[] figures)
{
    Console.Write(Report.Table(figures));
    return figures;
}
