using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>What became of each receiver of a notification: of many it is the batch's ledger, of few the notification's own row.</summary>
public sealed class NotificationLedger(CampaignsDb db)
{
    /// <returns>In order of user id, behind <paramref name="after"/>; of few all that are left.</returns>
    public Task<List<RecipientView>> TakeAsync(Notification notification, RecipientQuery query, string? after, int count, CancellationToken ct) =>
        notification.HasBatch ? OfManyAsync(notification, query, after, count, ct) : OfFewAsync(notification, query, after, ct);

    private async Task<List<RecipientView>> OfManyAsync(Notification notification, RecipientQuery query, string? after, int count, CancellationToken ct)
    {
        await using var ledger = await BatchLedger.OpenAsync(db, () => db.Batches.AsNoTracking().SingleAsync(b => b.Id == notification.Id, ct), ct);
        return await ledger.TakeAsync(new LedgerFilter(query.Status, ledger.ChannelNo(query.ChannelId), query.Search), after, count, ct);
    }

    private async Task<List<RecipientView>> OfFewAsync(Notification notification, RecipientQuery query, string? after, CancellationToken ct)
    {
        var version = await db.PinnedVersionAsync(notification.TemplateId, notification.TemplateVersion, ct);
        var slug = query.ChannelId is { } channel ? await SlugAsync(notification.AppNo, channel, ct) : null;
        return [.. NotificationViews.ReceiversOf(notification, version).Select(r => slug is null ? r : r.On(slug)).Where(r =>
            (after is null || string.CompareOrdinal(r.UserId, after) > 0)
            && (query.Status is null || r.Status == query.Status)
            && (query.Search is null || r.UserId.Contains(query.Search, StringComparison.OrdinalIgnoreCase)))];
    }

    private async Task<string> SlugAsync(int appNo, string channel, CancellationToken ct) =>
        await db.Channels.Where(c => c.AppNo == appNo && (c.Id == channel || c.ChannelId == channel)).Select(c => c.ChannelId).FirstOrDefaultAsync(ct)
        ?? throw new ApiException(Errors.NotFound("channel", channel));
}
