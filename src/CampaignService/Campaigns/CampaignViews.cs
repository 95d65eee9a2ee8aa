using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

/// <summary>Puts campaigns together with their totals and receipts, a page at a time: three queries, however many campaigns.</summary>
public sealed class CampaignViews(CampaignsDb db)
{
    public async Task<CampaignView> OfAsync(Campaign campaign, CancellationToken ct) => (await OfAsync([campaign], ct))[0];

    public async Task<IReadOnlyList<CampaignView>> OfAsync(IReadOnlyList<Campaign> campaigns, CancellationToken ct)
    {
        if (campaigns.Count == 0) return [];
        var batches = campaigns.Select(c => c.BatchId).ToArray();
        var templates = campaigns.Select(c => c.Batch.TemplateId).Distinct().ToArray();
        var numbers = campaigns.Select(c => c.Batch.TemplateVersion).Distinct().ToArray();
        var versions = (await db.TemplateVersions.AsNoTracking().Where(v => templates.Contains(v.TemplateId) && numbers.Contains(v.Version)).ToListAsync(ct))
            .ToDictionary(v => (v.TemplateId, v.Version));
        await db.Database.OpenConnectionAsync(ct);
        try
        {
            var totals = await BatchTotals.ReadAsync(db.Connection, batches, ct);
            var receipts = await FeedReceipts.ReadAsync(db.Connection, batches, ct);
            return [.. campaigns.Select(c => Of(c, versions[(c.Batch.TemplateId, c.Batch.TemplateVersion)], totals.GetValueOrDefault(c.BatchId), receipts.GetValueOrDefault(c.BatchId)))];
        }
        finally
        {
            await db.Database.CloseConnectionAsync();
        }
    }

    private static CampaignView Of(Campaign campaign, TemplateVersion version, BatchTotals? sums, Receipts? receipts)
    {
        var batch = campaign.Batch;
        var totals = sums ?? BatchTotals.AllPending(batch.Total, version.Content.Channels.Select(c => c.ChannelNo));
        var progress = totals.Messages == 0 ? (campaign.CompletedAt is null ? 0 : 1) : 1 - ((double)totals.Pending / totals.Messages);
        return new CampaignView(campaign.Id, campaign.Name, campaign.Description, campaign.TemplateSlug, batch.TemplateVersion, campaign.Status,
            campaign.StatusReason is { } code ? new StatusReason(code, StatusReasons.MessageOf(code)) : null,
            campaign.DeliveryMode, campaign.Tag, VariableValues.ToJson(new VariableSchema(version.Content.VariableSchema), batch.Variables), campaign.SenderId, batch.RatePerSecond,
            campaign.ScheduledAt, campaign.ScheduleZone, campaign.StopAt, campaign.StartedAt, campaign.CompletedAt, campaign.PausedAt,
            TotalsView.Of(totals, ChannelName.Of(version)), ReceiptsView.Of(receipts), progress,
            campaign.Status == CampaignStatus.Sending && batch.Run == 0 ? totals.SecondsLeft : null,
            campaign.CreatedAt, campaign.UpdatedAt);
    }
}
