using CampaignService.Data;
using CampaignService.Delivery;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

/// <summary>What a campaign ends as, once nothing is pending.</summary>
public sealed class CampaignOutcome(TimeProvider clock) : IBatchOwner
{
    /// <summary>Skips for these reasons do not count against the outcome: the recipient was meant to be left out.</summary>
    private static readonly HashSet<string> Neutral = ["stopped", "suppressed", "opted_out", "already_received"];

    public BatchKind Kind => BatchKind.Campaign;

    public async Task EndedAsync(CampaignsDb db, Batch batch, BatchTotals totals, CancellationToken ct)
    {
        var campaign = await db.Campaigns.SingleAsync(c => c.Id == batch.OwnerId, ct);
        var neutral = totals.Skipped == 0 ? 0 : (await ReasonCount.ReadAsync(db.Connection, batch.Id, ct))
            .Where(r => r.Status == MessageStatus.Skipped && Neutral.Contains(r.Reason)).Sum(r => r.Count);
        campaign.Finish(Decide(totals.Delivered, totals.Skipped - neutral + totals.Failed + totals.Uncertain), clock.GetUtcNow());
    }

    /// <param name="delivered">Messages handed over for good.</param>
    /// <param name="notServed">Messages that should have been and were not.</param>
    public static CampaignStatus Decide(long delivered, long notServed) =>
        notServed == 0 ? CampaignStatus.Completed : delivered == 0 ? CampaignStatus.Failed : CampaignStatus.PartiallyFailed;
}
