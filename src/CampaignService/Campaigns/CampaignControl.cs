using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Tenancy;

namespace CampaignService.Campaigns;

/// <summary>
/// What can be done to a campaign that was sent or will be. Each verb locks the batch's row, changes the campaign, then its chunks, and
/// commits: of two at once the second finds what the first made, and is told.
/// </summary>
public sealed class CampaignControl(CampaignsDb db, CampaignLauncher launcher, BatchFinisher finisher, WorkSignal signal, TimeProvider clock)
{
    public Task<Campaign> PauseAsync(CurrentApp app, string id, CancellationToken ct) => ChangeAsync(app, id, (campaign, now) =>
    {
        campaign.Pause(now);
        return ChunkControl.HoldAsync(db, campaign.Batch, ct);
    }, ct);

    /// <summary>Goes on; one that was paused before it started is started.</summary>
    public Task<Campaign> ResumeAsync(CurrentApp app, string id, CancellationToken ct) => ChangeAsync(app, id, async (campaign, now) =>
    {
        var goesOn = campaign.IsCut;
        campaign.Resume(now);
        if (goesOn)
        {
            await ChunkControl.ReleaseAsync(db, campaign.Batch, ct);
            return;
        }
        await launcher.CutAsync(campaign, await launcher.SendableChannelsAsync(campaign, ct), ct);
        Telemetry.Launched();
    }, ct);

    public async Task<Campaign> StopAsync(CurrentApp app, string id, CancellationToken ct)
    {
        var campaign = await ChangeAsync(app, id, (c, now) => StopAsync(c, now, ct), ct);
        return await FinishAsync(campaign, ct);
    }

    /// <summary>The same in the caller's transaction, with the batch row locked; <see cref="FinishAsync"/> follows its commit.</summary>
    public async Task StopAsync(Campaign campaign, DateTimeOffset now, CancellationToken ct)
    {
        var wasCut = campaign.IsCut;
        campaign.Stop(now);
        // One that was paused before it started has no chunks yet, and its ledger needs them.
        if (!wasCut) await launcher.CutAsync(campaign, await launcher.ChannelsAsync(campaign, ct), ct);
        await ChunkControl.HoldAsync(db, campaign.Batch, ct);
        await ChunkControl.CloseAsync(db, campaign.Batch, MessageStatus.Skipped, "stopped", ct);
    }

    /// <summary>Sets <c>completedAt</c> of a campaign that was stopped, unless calls are under way. Die before it and the sweep does it.</summary>
    public async Task<Campaign> FinishAsync(Campaign campaign, CancellationToken ct)
    {
        await finisher.TryFinishAsync(campaign.BatchId, ct);
        await db.Entry(campaign).ReloadAsync(ct);
        return campaign;
    }

    public Task<Campaign> RetryFailedAsync(CurrentApp app, string id, IReadOnlyCollection<MessageStatus> include, CancellationToken ct) => ChangeAsync(app, id, async (campaign, now) =>
    {
        campaign.RetryFailed(now);
        // Whoever was skipped for a channel that is still disabled would be skipped again.
        var channels = (await launcher.ChannelsAsync(campaign, ct)).Where(c => c.Enabled).Select(c => c.No).ToArray();
        if (!await ChunkControl.ReopenAsync(db, campaign.Batch, include, channels, ct)) throw new ApiException(Errors.NothingToRetry());
    }, ct);

    public Task<Campaign> LimitAsync(CurrentApp app, string id, double? perSecond, CancellationToken ct) => ChangeAsync(app, id, (campaign, now) =>
    {
        campaign.Limit(perSecond, now);
        return Task.CompletedTask;
    }, ct);

    public Task<Campaign> CancelAsync(CurrentApp app, string id, CancellationToken ct) => ChangeAsync(app, id, async (campaign, now) =>
    {
        var totals = (await BatchTotals.ReadAsync(db.Connection, [campaign.BatchId], ct)).GetValueOrDefault(campaign.BatchId);
        if (await ChunkControl.IsUnderWayAsync(db, campaign.Batch, ct)) throw new ApiException(Errors.Conflict("Messages are on their way. Try again when they are answered, after at most the time limit of the channel."));
        campaign.Cancel(sentAny: totals is not null && totals.Delivered + totals.Failed + totals.Uncertain > 0, now);
        await ChunkControl.DropAsync(db, campaign.Batch, ct);
    }, ct);

    private async Task<Campaign> ChangeAsync(CurrentApp app, string id, Func<Campaign, DateTimeOffset, Task> change, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        await change(campaign, clock.GetUtcNow());
        await db.TellAsync(campaign, ct);
        await launcher.SetClockAsync(campaign, transaction, again: false, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        // Die here and the workers find what there is to do by their next poll.
        signal.Wake();
        return campaign;
    }
}
