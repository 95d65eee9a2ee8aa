using System.Globalization;

namespace CampaignService.Benchmarks;

/// <summary>What processes have used of the processor since they were started, in seconds: who takes the time says more than how fast it went.</summary>
internal readonly record struct ProcessorTimes(double Service, double Database, double Bench)
{
    public static async Task<ProcessorTimes> NowAsync(Bench bench, ServiceProcess service, CancellationToken ct) =>
        new(Of(service.Id), (await BackendsAsync(bench, ct)).Sum(Of), Of(Environment.ProcessId));

    public static ProcessorTimes operator -(ProcessorTimes after, ProcessorTimes before) =>
        new(after.Service - before.Service, after.Database - before.Database, after.Bench - before.Bench);

    public static double Of(int process) => File.Exists($"/proc/{process}/stat") ? Of($"/proc/{process}") : 0;

    /// <summary>What the runtime of a process has used to compile its code anew, by the threads that did: they come and go.</summary>
    public static Dictionary<string, double> CompilersOf(int process)
    {
        var times = new Dictionary<string, double>();
        foreach (var task in Directory.GetDirectories($"/proc/{process}/task"))
        {
            try
            {
                if (File.ReadAllText($"{task}/comm").StartsWith(".NET Tiered", StringComparison.Ordinal)) times[task] = Of(task);
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }
        return times;
    }

    private static double Of(string folder)
    {
        var fields = File.ReadAllText($"{folder}/stat").Split(") ")[^1].Split(' ');
        return (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / 100.0;
    }

    private static async Task<List<int>> BackendsAsync(Bench bench, CancellationToken ct)
    {
        await using var command = bench.Db.CreateCommand("SELECT pid FROM pg_stat_activity");
        var pids = new List<int>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) pids.Add(reader.GetInt32(0));
        return pids;
    }
}
