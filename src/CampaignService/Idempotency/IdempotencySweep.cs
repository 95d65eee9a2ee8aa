using Npgsql;

namespace CampaignService.Idempotency;

/// <summary>Removes keys that are out of date, every ten minutes. One that is met before is as good as removed.</summary>
public sealed class IdempotencySweep(IdempotencyKeys keys, ILogger<IdempotencySweep> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMinutes(10));
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                while (await keys.SweepAsync(stoppingToken) > 0)
                {
                    // Until there is none.
                }
            }
            catch (NpgsqlException e)
            {
                log.LogWarning(e, "Idempotency keys that are out of date could not be removed; trying again in ten minutes");
            }
        }
    }
}
