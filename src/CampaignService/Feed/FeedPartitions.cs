using Npgsql;

namespace CampaignService.Feed;

/// <summary>Makes the feed's monthly partitions ahead of time; without one for the month, no feed row could be written.</summary>
public sealed class FeedPartitions(NpgsqlDataSource source, ILogger<FeedPartitions> log) : BackgroundService
{
    private const int MonthsAhead = 3;

    public async Task CreateAsync(CancellationToken ct)
    {
        await using var command = source.CreateCommand("SELECT create_feed_partitions($1)");
        command.Parameters.Add(new() { Value = MonthsAhead });
        await command.ExecuteNonQueryAsync(ct);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromHours(1));
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await CreateAsync(stoppingToken);
            }
            catch (NpgsqlException e)
            {
                // Months of turns are left before this matters; an operator has as long to read the log.
                log.LogError(e, "The feed's next monthly partitions could not be made; trying again in an hour");
            }
        }
    }
}
