using CampaignService.Data;
using CampaignService.Delivery;
using Npgsql;

namespace CampaignService.Campaigns;

/// <summary>
/// The guarantee behind the clock: looks twice a second for campaigns whose time has come, to start or to stop, and that no trigger took.
/// Any number of processes may sweep: a campaign that one of them holds is passed over by the others.
/// </summary>
public sealed class DueCampaigns(IServiceScopeFactory scopes, NpgsqlDataSource source, DeliveryPulse pulse, TimeProvider clock, ILogger<DueCampaigns> log)
    : BackgroundService
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(500);

    /// <summary>Starts at the same minute are common; each is a transaction of some milliseconds.</summary>
    private const int AtOnce = 4;

    private volatile bool _lost;

    /// <summary>One campaign, for whoever thinks that it is due.</summary>
    public async Task RunAsync(string id, CancellationToken ct)
    {
        // Also for a trigger that fires as soon as a restored copy is up.
        await pulse.CheckCopyAsync(ct);
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<CampaignTimetable>().DoWhatIsDueAsync(id, ct);
    }

    /// <summary>One turn over all that are due.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        await pulse.CheckCopyAsync(ct);
        await Parallel.ForEachAsync(await FindAsync(source, TimeSpan.Zero, 500, ct), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = ct }, async (id, stop) =>
        {
            try
            {
                await RunAsync(id, stop);
            }
            catch (Exception e) when (!stop.IsCancellationRequested)
            {
                // One that fails must not hold up the others; it is tried again with the next turn.
                log.LogError(e, "What is due for campaign {Campaign} failed", id);
            }
        });
    }

    /// <summary>Campaigns that should have been started or stopped so long ago, the oldest first.</summary>
    public static async Task<IReadOnlyList<string>> FindAsync(NpgsqlDataSource source, TimeSpan ago, int atMost, CancellationToken ct)
    {
        // indexes on campaigns (scheduled_at) where scheduled, (stop_at) where sending. Apps in turn: thousands of one must not hold up the others.
        await using var command = source.CreateCommand("""
            SELECT id FROM (
              SELECT id, app_no, scheduled_at AS due FROM campaigns WHERE status = 1 AND scheduled_at <= clock_timestamp() - $1
              UNION ALL
              SELECT id, app_no, stop_at FROM campaigns WHERE stop_at IS NOT NULL AND status = 2 AND stop_at <= clock_timestamp() - $1) AS due
            ORDER BY row_number() OVER (PARTITION BY app_no ORDER BY due), due LIMIT $2
            """);
        command.Parameters.Add(new() { Value = ago });
        command.Parameters.Add(new() { Value = atMost });
        var found = new List<string>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add(reader.GetString(0));
        return found;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Tick, clock);
        do
        {
            try
            {
                await SweepAsync(stoppingToken);
                _lost = false;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "A sweep for due campaigns failed; the next one follows at once");
                else if (!_lost) log.LogWarning("The database cannot be reached; campaigns start when it is back: {Message}", e.Message);
                _lost = DatabaseHealth.IsConnectionLoss(e);
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }
}
