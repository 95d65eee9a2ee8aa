using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Templates;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

/// <summary>Starts the sending of a campaign: every way of starting ends here.</summary>
public sealed class CampaignLauncher(CampaignsDb db, WorkSignal signal, TimeProvider clock)
{
    public async Task<Campaign> LaunchAsync(CurrentApp app, string id, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.Launch(clock.GetUtcNow());
        var batch = campaign.Batch;
        var template = await db.Templates.AsNoTracking().SingleAsync(t => t.Id == batch.TemplateId, ct);
        var version = await db.PinnedVersionAsync(batch.TemplateId, batch.TemplateVersion, ct);
        if (template.Status == TemplateStatus.Archived) throw new ApiException(Errors.TemplateArchived(template.TemplateId));
        if (version.ApprovedAt is null) throw new ApiException(Errors.TemplateNotApproved(template.TemplateId, version.Version));

        var numbers = version.Content.Channels.Select(c => c.ChannelNo).ToArray();
        var channels = await db.Channels.AsNoTracking().Where(c => numbers.Contains(c.No)).OrderBy(c => c.No).ToListAsync(ct);
        if (!channels.Any(c => c.Enabled)) throw new ApiException(Errors.NoEnabledChannel(template.TemplateId));

        await ChunkPlanner.PlanAsync(db, batch, channels, direct: campaign.DeliveryMode == DeliveryMode.Realtime, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        // Die here and the workers find the chunks by their next poll.
        signal.Wake();
        return campaign;
    }
}
