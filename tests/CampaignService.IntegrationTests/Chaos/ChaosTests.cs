using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The short form of scripts/chaos. A class each, so that they run side by side: most of their time is waiting for leases.</summary>
public sealed class KillTests
{
    [Fact]
    public async Task Processes_killed_at_random_while_campaigns_are_paused_resumed_and_stopped_lose_nothing_and_send_nothing_twice()
    {
        var plan = new ChaosPlan(Seed: 1, Faults.Kills) { Campaigns = 6, Recipients = 5_000, Duration = TimeSpan.FromSeconds(7) };
        var report = await new ChaosRun(await (await TestPostgres.SharedAsync()).NewDatabaseAsync(), null, plan).RunAsync();
        report.ShouldHold();
        Assert.True(report.Kills >= 3, report.ToString());
    }
}

public sealed class ConnectionCutTests
{
    [Fact]
    public async Task Connections_cut_at_random_during_sending_lose_nothing_and_send_nothing_twice()
    {
        var plan = new ChaosPlan(Seed: 2, Faults.Cuts) { Campaigns = 6, Recipients = 10_000, Duration = TimeSpan.FromSeconds(5), Processes = [""] };
        var report = await new ChaosRun(await (await TestPostgres.SharedAsync()).NewDatabaseAsync(), null, plan).RunAsync();
        report.ShouldHold();
        Assert.True(report.ConnectionsCut > 0, report.ToString());
    }
}

public sealed class ServerCrashTests
{
    [Fact]
    public async Task PostgreSQL_killed_and_started_again_during_sending_loses_nothing_and_sends_nothing_twice()
    {
        using var folder = await TestFolder.CreateAsync();
        // Durable: this is about what a crash leaves on disk. The owner starts it again within a second; the service stays up.
        var options = new EmbeddedPostgresOptions { DataDirectory = folder.Sub("postgres") };
        await using var server = await EmbeddedPostgres.StartAsync(options, NullLogger.Instance);
        var plan = new ChaosPlan(Seed: 3, Faults.ServerCrashes) { Campaigns = 6, Recipients = 10_000, Duration = TimeSpan.FromSeconds(8), Processes = [""] };
        var report = await new ChaosRun(server.ConnectionString, options.DataDirectory, plan).RunAsync();
        report.ShouldHold();
        Assert.True(report.ServerCrashes > 0, report.ToString());
    }
}

internal static class ChaosAssert
{
    public static void ShouldHold(this ChaosReport report) =>
        Assert.True(report.Violations.Count == 0, report.Violations.Count == 0 ? "" : $"{report}\nThe logs are in {report.SaveLogs()}");
}
