using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Idempotency;
using CampaignService.Templates;
using CampaignService.Webhooks;

namespace CampaignService.Notifications;

/// <summary>
/// Takes direct notifications to more than a few, and those that also go to servers of others: each becomes a batch, which the workers deliver
/// ahead of campaigns.
/// </summary>
public sealed class NotificationQueue(CampaignsDb db, ChunkProcessor processor, BatchFinisher finisher, WorkSignal signal, TimeProvider clock)
{
    /// <summary>Batch, recipients, chunks and the key are one transaction: the answer is given when all of it is there.</summary>
    /// <param name="template">What it says.</param>
    /// <param name="tag">Its tag.</param>
    /// <param name="audience">Whom it goes to.</param>
    /// <param name="mode">Realtime: what goes into feeds is there when this returns. Die before it, and workers do it when its lease has ended.</param>
    /// <param name="request">The key it came with.</param>
    /// <param name="ct">Stops it, as long as nothing is written.</param>
    public async Task<StoredNotification> AddAsync(SendableTemplate template, string? tag, Audience audience, NotificationMode mode, IdempotentRequest? request, CancellationToken ct)
    {
        var rows = new RecipientRows([.. template.Schema.Variables.Select(v => v.Key)], audience.UserIds.Count);
        for (var i = 0; i < audience.UserIds.Count; i++) rows.Add(audience.UserIds[i], audience.Values[i]);
        rows.SortAndDeduplicate();

        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var batch = Batch.Create(BatchKind.Notification, "", template.Version, new Dictionary<string, string>());
        db.Add(batch);
        await db.SaveChangesAsync(ct);
        await RecipientImport.AddAsync(db, batch, rows, audience.Duplicates, rejected: 0, ct);
        var now = clock.GetUtcNow();
        var notification = Notification.Queue(batch, mode, template.Slug, tag, rows.Count, audience.Duplicates, now);
        db.Add(notification);
        batch.Start(now);
        await ChunkPlanner.PlanAsync(db, batch, [.. template.Channels.Select(c => c.Channel)], direct: true, ct);
        await db.SaveChangesAsync(ct);
        await EventLog.AppendAsync(db.Connection, batch.AppNo, EventType.NotificationCreated, await new NotificationViews(db).OfAsync(notification, ct), person: null, ct);
        var inApp = mode == NotificationMode.Realtime ? await ChunkQueue.TakeInAppAsync(db.Connection, batch.Id, ct) : [];
        var channels = NotificationSender.ChannelsOf(template);
        var answer = mode == NotificationMode.Realtime
            ? new KeptAnswer(200, NotificationSender.Bytes(new SentNotification(notification.PublicId, channels, mode, audience.Duplicates)))
            : new KeptAnswer(202, NotificationSender.Bytes(new QueuedNotification(notification.PublicId, rows.Count, channels, mode, audience.Duplicates)));
        // Last, for whoever comes with the same key waits here for our commit.
        if (request is not null && await IdempotencyKeys.StoreAsync(db.Connection, request, answer, ct) is { } first) return new StoredNotification(first, Replayed: true);
        await transaction.CommitAsync(ct);
        // Die here and the workers find the chunks by their next poll.
        signal.Wake();
        foreach (var chunk in inApp) await processor.ProcessAsync(chunk, claimNext: false, CancellationToken.None);
        if (inApp.Count > 0) await finisher.TryFinishAsync(batch.Id, CancellationToken.None);
        return new StoredNotification(answer, Replayed: false);
    }
}
