using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Scheduling;
using CampaignService.Tenancy;
using Microsoft.Extensions.Options;

namespace CampaignService.Campaigns;

/// <summary>Gives campaigns their time, and does what is due when it has come.</summary>
public sealed class CampaignTimetable(
    CampaignsDb db, CampaignLauncher launcher, CampaignControl control, WorkSignal signal, IOptions<SchedulingSettings> settings, TimeProvider clock, ILogger<CampaignTimetable> log)
{
    /// <summary>draft | scheduled -> scheduled. Checked as for sending now, so that what is wrong is said today and not at its time.</summary>
    public async Task<Campaign> ScheduleAsync(CurrentApp app, string id, DateTimeOffset at, Optional<DateTimeOffset?> stopAt, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.Schedule(at, stopAt, clock.GetUtcNow());
        await launcher.SendableChannelsAsync(campaign, ct);
        await db.TellAsync(campaign, ct);
        await launcher.SetClockAsync(campaign, transaction, again: false, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return campaign;
    }

    /// <summary>scheduled -> draft.</summary>
    public async Task<Campaign> UnscheduleAsync(CurrentApp app, string id, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.Unschedule(clock.GetUtcNow());
        await launcher.SetClockAsync(campaign, transaction, again: false, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return campaign;
    }

    /// <summary>
    /// Does what is due for a campaign, if anything is: who calls may be early, late, or the second. Die before the commit and the sweep
    /// calls again.
    /// </summary>
    public async Task DoWhatIsDueAsync(string id, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        if (await db.TryLockAsync(id, ct) is not var (campaign, now)) return;
        if (campaign.Status == CampaignStatus.Scheduled && campaign.ScheduledAt <= now) await StartAsync(campaign, now, ct);
        else if (campaign.Status == CampaignStatus.Sending && campaign.StopAt <= now) await control.StopAsync(campaign, now, ct);
        // Called early, by a clock that was wrong: it is set again. What was due does not touch the clock, and so needs nothing but its own rows.
        else await launcher.SetClockAsync(campaign, transaction, again: true, ct);
        await db.TellAsync(campaign, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        signal.Wake();
        if (campaign.Status == CampaignStatus.Stopped) await control.FinishAsync(campaign, ct);
    }

    private async Task StartAsync(Campaign campaign, DateTimeOffset now, CancellationToken ct)
    {
        if (campaign.ScheduledAt < now - settings.Value.MaxLateness || campaign.StopAt <= now)
        {
            campaign.Hold(HoldReasons.Late, now);
            log.LogWarning("Campaign {Campaign} was due at {Due} and is found too late; it is paused", campaign.Id, campaign.ScheduledAt);
            return;
        }
        try
        {
            var channels = await launcher.SendableChannelsAsync(campaign, ct);
            campaign.StartOnTime(now);
            await launcher.CutAsync(campaign, channels, ct);
            Telemetry.Launched();
        }
        catch (ApiException e)
        {
            campaign.Hold(StatusReasons.NotSendable, now);
            log.LogError("Campaign {Campaign} could not start at its time and is paused: {Message}", campaign.Id, e.Message);
        }
    }
}
