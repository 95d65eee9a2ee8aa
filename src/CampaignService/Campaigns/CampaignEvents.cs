using CampaignService.Data;
using CampaignService.Webhooks;

namespace CampaignService.Campaigns;

public static class CampaignEvents
{
    /// <summary>
    /// Tells what has happened to a campaign, if anything has, in the transaction that changes it: with all of its rows changed, and before it
    /// is committed.
    /// </summary>
    public static async Task TellAsync(this CampaignsDb db, Campaign campaign, CancellationToken ct)
    {
        if (campaign.Happened is not { } type) return;
        await EventLog.AppendAsync(db.Connection, campaign.AppNo, type, await new CampaignViews(db).OfAsync(campaign, ct), campaign.SenderId, ct);
    }
}
