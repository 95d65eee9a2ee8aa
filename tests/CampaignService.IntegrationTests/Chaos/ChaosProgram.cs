using System.Globalization;
using System.Runtime.InteropServices;
using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The long form, for scripts/chaos: round after round, each with other faults and on an empty database of one durable server.</summary>
internal static class ChaosProgram
{
    private const string Usage = "scripts/chaos [--external] [--minutes N] [--seed S] [--write] | --zones";

    private static readonly (Faults Faults, string[] Processes)[] Rounds =
    [
        (Faults.Kills, ["worker", "worker", "scheduler", "api"]),
        (Faults.ServerCrashes, ["worker", "worker", "scheduler", "api"]),
        (Faults.Cuts, [""]),
        (Faults.Freezes, ["worker", "worker", "scheduler", "api"]),
        (Faults.All, ["worker", "worker", "scheduler", "api"]),
    ];

    /// <returns>The exit code: 0 when nothing was found that must not be.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        var (minutes, seed, write, onlyExternal) = (10.0, (int)(TimeProvider.System.GetTimestamp() & 0xFFFF), false, false);
        for (var i = 0; i < args.Length; i++)
        {
            var value = i + 1 < args.Length ? args[i + 1] : "";
            if (args[i] == "--write") write = true;
            else if (args[i] == "--external") onlyExternal = true;
            else if (args[i] == "--minutes" && double.TryParse(value, CultureInfo.InvariantCulture, out minutes)) i++;
            else if (args[i] == "--seed" && int.TryParse(value, CultureInfo.InvariantCulture, out seed)) i++;
            else
            {
                await Console.Error.WriteLineAsync(Usage);
                return 2;
            }
        }
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, End);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
        try
        {
            var command = $"scripts/chaos{(onlyExternal ? " --external" : $" --minutes {minutes.ToString(CultureInfo.InvariantCulture)}")} --seed {seed} --write";
            var (reports, external) = await RunAsync(onlyExternal ? null : TimeSpan.FromMinutes(minutes), seed, stop.Token);
            if (!onlyExternal) Console.WriteLine(ChaosPage.Table(reports));
            Console.WriteLine(external.Table);
            if (write && !onlyExternal) await ChaosPage.WriteAsync(reports, command);
            if (write) await ChaosPage.WriteAsync(external, command);
            return external.Holds && reports.TrueForAll(r => r.Violations.Count == 0) ? 0 : 1;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync("Stopped before the end; nothing was written.");
            return 130;
        }

        void End(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }
    }

    private static async Task<(List<ChaosReport> Reports, ExternalReport External)> RunAsync(TimeSpan? time, int seed, CancellationToken ct)
    {
        using var folder = await TestFolder.CreateAsync();
        var options = new EmbeddedPostgresOptions { DataDirectory = folder.Sub("postgres") };
        await using var server = await EmbeddedPostgres.StartAsync(options, NullLogger.Instance, ct);
        var reports = new List<ChaosReport>();
        var start = TimeProvider.System.GetTimestamp();
        while (time is not null && (reports.Count < Rounds.Length || TimeProvider.System.GetElapsedTime(start) < time))
        {
            var (faults, processes) = Rounds[reports.Count % Rounds.Length];
            var database = new NpgsqlConnectionStringBuilder(server.ConnectionString) { Database = $"round_{reports.Count}" }.ConnectionString;
            await ExecuteAsync(server.ConnectionString, $"CREATE DATABASE round_{reports.Count}", ct);
            var report = await new ChaosRun(database, options.DataDirectory, new ChaosPlan(seed + reports.Count, faults) { Processes = processes }).RunAsync(ct);
            reports.Add(report);
            Console.WriteLine($"{reports.Count,3}. {report}{string.Concat(report.Errors.Select(e => "\n     logged: " + e.ReplaceLineEndings(" ")))}");
            if (report.Violations.Count > 0) Console.WriteLine($"     The logs are in {report.SaveLogs()}");
            await ExecuteAsync(server.ConnectionString, $"DROP DATABASE round_{reports.Count - 1} WITH (FORCE)", ct);
        }
        await ExecuteAsync(server.ConnectionString, "CREATE DATABASE external", ct);
        return (reports, await new ExternalRun(new NpgsqlConnectionStringBuilder(server.ConnectionString) { Database = "external" }.ConnectionString, seed).RunAsync(ct));
    }

    private static async Task ExecuteAsync(string connectionString, string sql, CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync(ct);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
    }
}
