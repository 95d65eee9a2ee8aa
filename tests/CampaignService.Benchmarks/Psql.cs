using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using CampaignService.Hosting;
using Npgsql;

namespace CampaignService.Benchmarks;

/// <summary>Runs psql, one process a command, and takes the time that psql itself reports: its start and its login do not count.</summary>
internal sealed partial class Psql(string connectionString)
{
    private readonly string _program = PostgresBinaries.Find("", null).Program("psql");

    public Task<TimeSpan> CopyAsync(string into, string file, CancellationToken ct) =>
        RunAsync($"\\copy {into} from '{file}' with (format csv, header)", ct);

    private async Task<TimeSpan> RunAsync(string command, CancellationToken ct)
    {
        var to = new NpgsqlConnectionStringBuilder(connectionString);
        var start = new ProcessStartInfo(_program, ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "\\timing on", "-c", command])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["PGHOST"] = to.Host, ["PGPORT"] = to.Port.ToString(CultureInfo.InvariantCulture), ["PGDATABASE"] = to.Database,
                ["PGUSER"] = to.Username, ["PGPASSWORD"] = to.Password, ["LC_ALL"] = "C", ["PGCLIENTENCODING"] = "UTF8",
            },
        };
        using var psql = Process.Start(start)!;
        try
        {
            var said = psql.StandardOutput.ReadToEndAsync(ct);
            var complained = psql.StandardError.ReadToEndAsync(ct);
            await psql.WaitForExitAsync(ct);
            return psql.ExitCode == 0 && Reported().Match(await said) is { Success: true } time
                ? TimeSpan.FromMilliseconds(double.Parse(time.Groups[1].ValueSpan, CultureInfo.InvariantCulture))
                : throw new BenchException($"psql failed at {command}: {await complained}{await said}");
        }
        catch (OperationCanceledException)
        {
            psql.Kill();
            throw;
        }
    }

    [GeneratedRegex(@"Time: ([0-9.]+) ms")]
    private static partial Regex Reported();
}

/// <summary>The run is worth nothing: something did not do what is being measured.</summary>
internal sealed class BenchException(string message) : Exception(message);
