using CampaignService.Campaigns;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Hosting;

/// <summary>
/// Sees, in every process whatever its role, whether work that is due makes no progress: so it is also noticed when there is no worker or
/// no scheduler left to notice it. It raises a log error, a metric, and a detail of <c>/health/ready</c> that does not make the process
/// unready: that would take away the API, too.
/// </summary>
public sealed class Watchdog(NpgsqlDataSource source, IOptions<WorkerSettings> settings, TimeProvider clock, ILogger<Watchdog> log) : BackgroundService, IHealthCheck
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10), BeforeSayingItAgain = TimeSpan.FromMinutes(5);

    private volatile string? _stuck;
    private long _saidAt;

    public async Task LookAsync(CancellationToken ct)
    {
        var batches = await StuckWork.FindAsync(source, settings.Value.StuckAfter, ct);
        var campaigns = await DueCampaigns.FindAsync(source, settings.Value.StuckAfter, 10, ct);
        Telemetry.StuckWork = batches.Count + campaigns.Count;
        var before = _stuck;
        _stuck = batches.Count + campaigns.Count == 0 ? null : string.Join(' ', Describe(batches, campaigns, named: false));
        if (_stuck is null || (before is not null && clock.GetElapsedTime(_saidAt) < BeforeSayingItAgain)) return;
        _saidAt = clock.GetTimestamp();
        log.LogError("Work that is due makes no progress. {Stuck}", string.Join(' ', Describe(batches, campaigns, named: true)));
    }

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(_stuck is { } stuck ? HealthCheckResult.Degraded(stuck) : HealthCheckResult.Healthy());

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await LookAsync(stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Looking for stuck work failed");
            }
        }
    }

    /// <param name="batches">Those that stand still.</param>
    /// <param name="campaigns">Those that should have started or stopped.</param>
    /// <param name="named">With their ids: for the log, and not for anybody who asks for the health.</param>
    private IEnumerable<string> Describe(IReadOnlyList<long> batches, IReadOnlyList<string> campaigns, bool named)
    {
        if (batches.Count > 0)
        {
            yield return $"Sending stands still for more than {settings.Value.StuckAfter}: {(named ? $"batches {string.Join(", ", batches)}" : $"{batches.Count} batches, named in the log")}. Is a process with the role worker running, and what does its log say?";
        }
        if (campaigns.Count > 0)
        {
            yield return $"Not started or stopped more than {settings.Value.StuckAfter} after their time: {(named ? $"campaigns {string.Join(", ", campaigns)}" : $"{campaigns.Count} campaigns, named in the log")}. Is a process with the role scheduler running, and what does its log say?";
        }
    }
}
