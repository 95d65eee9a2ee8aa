using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using CampaignService.Hosting;
using Npgsql;

namespace CampaignService.Benchmarks;

/// <summary>Runs pgbench with a script of our own, prepared, and takes the rate that it reports, without the time to connect.</summary>
internal sealed partial class Pgbench(string connectionString, BenchFolder folder)
{
    private readonly string _program = PostgresBinaries.Find("", null).Program("pgbench");

    public async Task<double> RateAsync(string script, int clients, TimeSpan time, CancellationToken ct)
    {
        var to = new NpgsqlConnectionStringBuilder(connectionString);
        var file = folder.Sub("pgbench.sql");
        await File.WriteAllTextAsync(file, script, ct);
        var start = new ProcessStartInfo(_program, ["-n", "-M", "prepared", "-c", $"{clients}", "-j", "2", "-T", $"{time.TotalSeconds:0}", "-f", file])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["PGHOST"] = to.Host, ["PGPORT"] = to.Port.ToString(CultureInfo.InvariantCulture), ["PGDATABASE"] = to.Database,
                ["PGUSER"] = to.Username, ["PGPASSWORD"] = to.Password, ["LC_ALL"] = "C",
            },
        };
        using var pgbench = Process.Start(start)!;
        var said = pgbench.StandardOutput.ReadToEndAsync(ct);
        var complained = pgbench.StandardError.ReadToEndAsync(ct);
        await pgbench.WaitForExitAsync(ct);
        return pgbench.ExitCode == 0 && Reported().Match(await said) is { Success: true } rate
            ? double.Parse(rate.Groups[1].ValueSpan, CultureInfo.InvariantCulture)
            : throw new BenchException($"pgbench failed: {await complained}{await said}");
    }

    [GeneratedRegex(@"tps = ([0-9.]+) \(without initial connection time\)")]
    private static partial Regex Reported();
}
