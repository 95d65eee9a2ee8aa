using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>Puts notifications together with their totals and receipts, a page at a time: three queries, however many notifications.</summary>
public sealed class NotificationViews(CampaignsDb db)
{
    public async Task<NotificationView> OfAsync(Notification notification, CancellationToken ct) => (await OfAsync([notification], ct))[0];

    public async Task<IReadOnlyList<NotificationView>> OfAsync(IReadOnlyList<Notification> notifications, CancellationToken ct)
    {
        if (notifications.Count == 0) return [];
        var ids = notifications.Select(n => n.Id).ToArray();
        var versions = await VersionsAsync(notifications, ct);
        await db.Database.OpenConnectionAsync(ct);
        try
        {
            var totals = await BatchTotals.ReadAsync(db.Connection, [.. notifications.Where(n => n.HasBatch).Select(n => n.Id)], ct);
            var receipts = await FeedReceipts.ReadAsync(db.Connection, ids, ct);
            return [.. notifications.Select(n => Of(n, versions[(n.TemplateId, n.TemplateVersion)], totals.GetValueOrDefault(n.Id), receipts.GetValueOrDefault(n.Id)))];
        }
        finally
        {
            await db.Database.CloseConnectionAsync();
        }
    }

    /// <summary>Notifications to few as they were when they were sent: nobody had reported anything yet.</summary>
    public async Task<IReadOnlyList<NotificationView>> AsSentAsync(IReadOnlyList<Notification> notifications, CancellationToken ct)
    {
        var versions = await VersionsAsync(notifications, ct);
        return [.. notifications.Select(n => Of(n, versions[(n.TemplateId, n.TemplateVersion)], sums: null, receipts: null))];
    }

    /// <summary>The receivers of a notification to few, in order of user id: delivered on its channels, skipped on those that were disabled.</summary>
    public static IEnumerable<RecipientView> ReceiversOf(Notification notification, TemplateVersion version)
    {
        var schema = new VariableSchema(version.Content.VariableSchema);
        var channels = version.Content.Channels.Select(c => notification.ChannelNos.Contains(c.ChannelNo)
            ? new MessageView(c.ChannelId, c.Type, MessageStatus.Delivered, null, null, 1, notification.CreatedAt)
            : new MessageView(c.ChannelId, c.Type, MessageStatus.Skipped, "channel_disabled", null, 0, notification.CreatedAt)).ToArray();
        return notification.UserIds.Select((user, i) => (User: user, Values: TextArray.Read(notification.UserVars[i]))).OrderBy(r => r.User, StringComparer.Ordinal)
            .Select(r => new RecipientView(r.User, VariableValues.ToJson(schema, r.Values.Select((value, i) => (schema.Variables[i].Key, Value: value))
                .Where(v => v.Value is not null).Select(v => KeyValuePair.Create(v.Key, v.Value!))), MessageStatus.Delivered, channels));
    }

    private async Task<Dictionary<(string, int), TemplateVersion>> VersionsAsync(IReadOnlyList<Notification> notifications, CancellationToken ct)
    {
        var templates = notifications.Select(n => n.TemplateId).Distinct().ToArray();
        var numbers = notifications.Select(n => n.TemplateVersion).Distinct().ToArray();
        return (await db.TemplateVersions.AsNoTracking().Where(v => templates.Contains(v.TemplateId) && numbers.Contains(v.Version)).ToListAsync(ct))
            .ToDictionary(v => (v.TemplateId, v.Version));
    }

    private static NotificationView Of(Notification notification, TemplateVersion version, BatchTotals? sums, Receipts? receipts)
    {
        var totals = sums ?? InRequest(notification, version);
        return new NotificationView(notification.PublicId, notification.Mode, notification.Status,
            notification.StatusReason is { } code ? NotificationOutcome.ReasonOf(code) : null, notification.TemplateSlug, notification.TemplateVersion, notification.Tag,
            notification.Duplicates, TotalsView.Of(totals, ChannelName.Of(version)), ReceiptsView.Of(receipts),
            totals.Messages == 0 ? 1 : 1 - ((double)totals.Pending / totals.Messages), notification.CreatedAt, notification.CompletedAt);
    }

    private static BatchTotals InRequest(Notification notification, TemplateVersion version) => new(notification.Receivers,
        [.. version.Content.Channels.Select(c => notification.ChannelNos.Contains(c.ChannelNo)
            ? new ChannelTotals(c.ChannelNo, notification.Receivers, notification.Receivers, 0, 0, 0)
            : new ChannelTotals(c.ChannelNo, notification.Receivers, 0, 0, notification.Receivers, 0))]);
}
