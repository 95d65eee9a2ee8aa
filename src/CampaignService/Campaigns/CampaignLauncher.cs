using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Scheduling;
using CampaignService.Templates;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace CampaignService.Campaigns;

/// <summary>Starts the sending of a campaign: every way of starting ends in <see cref="CutAsync"/>.</summary>
public sealed class CampaignLauncher(CampaignsDb db, ICampaignSchedule schedule, WorkSignal signal, TimeProvider clock)
{
    /// <summary>Starts it now, also one that is scheduled.</summary>
    public async Task<Campaign> LaunchAsync(CurrentApp app, string id, Optional<DateTimeOffset?> stopAt, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.SendNow(stopAt, clock.GetUtcNow());
        await CutAsync(campaign, await SendableChannelsAsync(campaign, ct), ct);
        await db.TellAsync(campaign, ct);
        await SetClockAsync(campaign, transaction, again: false, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        // Die here and the workers find the chunks by their next poll.
        signal.Wake();
        Telemetry.Launched();
        return campaign;
    }

    /// <summary>Cuts the batch into chunks, in the transaction that starts it. That transaction wakes the workers when it is committed.</summary>
    public Task CutAsync(Campaign campaign, IReadOnlyList<Channel> channels, CancellationToken ct) =>
        ChunkPlanner.PlanAsync(db, campaign.Batch, channels, direct: campaign.DeliveryMode == DeliveryMode.Realtime, ct);

    /// <summary>The channels a campaign goes to, the disabled ones too: what goes there is skipped with the reason.</summary>
    /// <exception cref="ApiException">409: it cannot be sent, because its template is not approved or none of its channels is enabled.</exception>
    public async Task<IReadOnlyList<Channel>> SendableChannelsAsync(Campaign campaign, CancellationToken ct)
    {
        var batch = campaign.Batch;
        var template = await db.Templates.AsNoTracking().SingleAsync(t => t.Id == batch.TemplateId, ct);
        var version = await db.PinnedVersionAsync(batch.TemplateId, batch.TemplateVersion, ct);
        if (template.Status == TemplateStatus.Archived) throw new ApiException(Errors.TemplateArchived(template.TemplateId));
        if (version.ApprovedAt is null) throw new ApiException(Errors.TemplateNotApproved(template.TemplateId, version.Version));
        var channels = await ChannelsAsync(campaign, ct);
        return channels.Any(c => c.Enabled) ? channels : throw new ApiException(Errors.NoEnabledChannel(template.TemplateId));
    }

    public async Task<IReadOnlyList<Channel>> ChannelsAsync(Campaign campaign, CancellationToken ct)
    {
        var version = await db.PinnedVersionAsync(campaign.Batch.TemplateId, campaign.Batch.TemplateVersion, ct);
        var numbers = version.Content.Channels.Select(c => c.ChannelNo).ToArray();
        return await db.Channels.AsNoTracking().Where(c => numbers.Contains(c.No)).OrderBy(c => c.No).ToListAsync(ct);
    }

    /// <summary>
    /// Sets the clock to what the campaign waits for now, in the same transaction. Call it right before the changes are saved and committed: the
    /// clock is shared by all, and held until the commit. It is not touched when nothing changed.
    /// </summary>
    /// <param name="campaign">The campaign, changed and not yet saved.</param>
    /// <param name="transaction">The transaction.</param>
    /// <param name="again">Sets it also when nothing changed: it went off early.</param>
    /// <param name="ct">Stops it.</param>
    public async Task SetClockAsync(Campaign campaign, IDbContextTransaction transaction, bool again, CancellationToken ct)
    {
        var before = db.Entry(campaign).OriginalValues;
        var status = before.GetValue<CampaignStatus>(nameof(Campaign.Status));
        await SetAsync(CampaignMoment.Start, StartOf(status, before.GetValue<DateTimeOffset?>(nameof(Campaign.ScheduledAt))), StartOf(campaign.Status, campaign.ScheduledAt));
        await SetAsync(CampaignMoment.Stop, StopOf(status, before.GetValue<DateTimeOffset?>(nameof(Campaign.StopAt))), StopOf(campaign.Status, campaign.StopAt));

        async Task SetAsync(CampaignMoment moment, DateTimeOffset? was, DateTimeOffset? now)
        {
            if (now is { } at && (again || was != now)) await schedule.SetAsync(campaign.Id, moment, at, transaction.GetDbTransaction(), ct);
            else if (now is null && was is not null) await schedule.RemoveAsync(campaign.Id, moment, transaction.GetDbTransaction(), ct);
        }

        static DateTimeOffset? StartOf(CampaignStatus status, DateTimeOffset? at) => status == CampaignStatus.Scheduled ? at : null;
        static DateTimeOffset? StopOf(CampaignStatus status, DateTimeOffset? at) => status is CampaignStatus.Scheduled or CampaignStatus.Sending or CampaignStatus.Paused ? at : null;
    }
}
