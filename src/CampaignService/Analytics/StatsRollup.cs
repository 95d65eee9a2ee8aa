using CampaignService.Data;
using Npgsql;

namespace CampaignService.Analytics;

/// <summary>
/// Folds what was counted into sums by quarter of an hour, which stay when feed rows go. Moving is one statement: whoever reads sees a number
/// before it or after it, never twice or not at all, and so does whoever comes after a death. Any number of processes may do it at once; what one
/// has taken the others pass over. If none does, reading gets slower and stays right.
/// </summary>
public sealed class StatsRollup(NpgsqlDataSource source, TimeProvider clock, ILogger<StatsRollup> log) : BackgroundService
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(5);

    private const int AtOnce = 20_000;

    /// <summary>What the source of a delta <c>d</c> is: a direct notification, or a batch with or without a campaign. All of it is settled before anything is counted.</summary>
    internal const string JoinSource = """
        LEFT JOIN notifications n ON n.app_no = d.app_no AND n.id = d.source_id -- notifications' key
        LEFT JOIN batches b ON b.id = d.source_id -- batches' key
        LEFT JOIN campaigns c ON c.id = b.owner_id -- campaigns' key
        """;

    internal const string Template = "coalesce(n.template_id, b.template_id, '')", Campaign = "coalesce(c.id, '')", Tag = "coalesce(n.tag, c.tag, '')";

    /// <summary>In the order of the key, so that two of them cannot lock each other out.</summary>
    private const string Sql = $"""
        WITH taken AS (
          DELETE FROM stat_deltas WHERE ctid = ANY(ARRAY(SELECT ctid FROM stat_deltas LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING *),
        folded AS ( -- stats' key
          INSERT INTO stats AS s (app_no, at, template_id, campaign_id, tag, channel_no, topic, messages, delivered, failed, skipped, uncertain, received, read, engaged)
          SELECT d.app_no, d.at, {Template}, {Campaign}, {Tag}, d.channel_no, d.topic,
            sum(d.messages), sum(d.delivered), sum(d.failed), sum(d.skipped), sum(d.uncertain), sum(d.received), sum(d.read), sum(d.engaged)
          FROM taken d {JoinSource}
          GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
          ON CONFLICT (app_no, at, template_id, campaign_id, tag, channel_no, topic) DO UPDATE SET
            messages = s.messages + excluded.messages, delivered = s.delivered + excluded.delivered, failed = s.failed + excluded.failed,
            skipped = s.skipped + excluded.skipped, uncertain = s.uncertain + excluded.uncertain,
            received = s.received + excluded.received, read = s.read + excluded.read, engaged = s.engaged + excluded.engaged)
        SELECT count(app_no)::int FROM taken
        """;

    /// <summary>One turn: all that is there now.</summary>
    public Task RunAsync(CancellationToken ct) => RunAsync(AtOnce, ct);

    internal async Task RunAsync(int atOnce, CancellationToken ct)
    {
        for (var taken = atOnce; taken == atOnce;)
        {
            await using var command = source.CreateCommand(Sql);
            command.Parameters.Add(new() { Value = atOnce });
            taken = (int)(await command.ExecuteScalarAsync(ct))!;
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Tick, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await RunAsync(stoppingToken);
            }
            catch (NpgsqlException e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Numbers could not be rolled up; they stay right, and reading them gets slower. Trying again in {Seconds} s", Tick.TotalSeconds);
            }
        }
    }
}
