using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Scheduling;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace CampaignService.Campaigns;

/// <summary>What becomes of a campaign when something happens to its batch that nobody asked for.</summary>
public sealed class CampaignOutcome(IServiceScopeFactory scopes, ICampaignSchedule schedule, TimeProvider clock) : IBatchOwner
{
    public BatchKind Kind => BatchKind.Campaign;

    public async Task EndedAsync(CampaignsDb db, Batch batch, BatchTotals totals, CancellationToken ct)
    {
        var campaign = await db.Campaigns.SingleAsync(c => c.Id == batch.OwnerId, ct);
        var outcome = await BatchOutcomes.DecideAsync(db.Connection, batch, totals, ct);
        // A moment to stop it may still be set: it will find nothing to do. The clock is not touched where delivery would wait for it.
        campaign.Finish(outcome switch
        {
            BatchOutcome.Completed => CampaignStatus.Completed,
            BatchOutcome.Failed => CampaignStatus.Failed,
            _ => CampaignStatus.PartiallyFailed,
        }, clock.GetUtcNow());
        await db.TellAsync(campaign, ct);
    }

    public async Task HeldAsync(CampaignsDb db, Batch batch, HoldReason reason, CancellationToken ct)
    {
        var campaign = await db.Campaigns.Include(c => c.Batch).SingleAsync(c => c.Id == batch.OwnerId, ct);
        campaign.Hold(reason.Code(), clock.GetUtcNow(), reason);
        await db.TellAsync(campaign, ct);
    }

    public async Task<bool> ReleasedAsync(CampaignsDb db, Batch batch, CancellationToken ct)
    {
        var (campaign, now) = (await db.Campaigns.Include(c => c.Batch).SingleAsync(c => c.Id == batch.OwnerId, ct), clock.GetUtcNow());
        // Past its stopAt somebody is to decide, as with whatever is paused.
        if (campaign.StatusReason != HoldReasons.ProviderDown || campaign.StopAt <= now) return false;
        campaign.Resume(now);
        await db.TellAsync(campaign, ct);
        return true;
    }

    public async Task HoldScheduledAsync(HoldReason reason, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        // Until there is none: one that somebody works on at the moment is passed over, and met again.
        // Only those of before: who schedules from now on knows what this database is.
        var before = clock.GetUtcNow();
        for (var round = 1; round <= 100; round++)
        {
            var scheduled = await db.Campaigns.Where(c => c.Status == CampaignStatus.Scheduled && c.UpdatedAt <= before).Select(c => c.Id).ToListAsync(ct);
            if (scheduled.Count == 0) return;
            foreach (var id in scheduled) await HoldScheduledAsync(db, id, reason.Code(), ct);
            if (round > 1) await Task.Delay(TimeSpan.FromMilliseconds(20), clock, ct);
        }
    }

    private async Task HoldScheduledAsync(CampaignsDb db, string id, string code, CancellationToken ct)
    {
        db.ChangeTracker.Clear();
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        if (await db.TryLockAsync(id, ct) is not var (campaign, now) || campaign.Status != CampaignStatus.Scheduled) return;
        campaign.Hold(code, now);
        await db.TellAsync(campaign, ct);
        await schedule.RemoveAsync(id, CampaignMoment.Start, transaction.GetDbTransaction(), ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
    }
}
