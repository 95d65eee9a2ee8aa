using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Webhooks;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>What becomes of a notification to many when something happens to its batch.</summary>
public sealed class NotificationOutcome(TimeProvider clock) : IBatchOwner
{
    public BatchKind Kind => BatchKind.Notification;

    public async Task EndedAsync(CampaignsDb db, Batch batch, BatchTotals totals, CancellationToken ct)
    {
        var notification = await FindAsync(db, batch, ct);
        notification.Finish(await BatchOutcomes.DecideAsync(db.Connection, batch, totals, ct), clock.GetUtcNow());
        var type = notification.Status == NotificationStatus.Failed ? EventType.NotificationFailed : EventType.NotificationCompleted;
        await EventLog.AppendAsync(db.Connection, batch.AppNo, type, await new NotificationViews(db).OfAsync(notification, ct), person: null, ct);
    }

    public async Task HeldAsync(CampaignsDb db, Batch batch, HoldReason reason, CancellationToken ct)
    {
        (await FindAsync(db, batch, ct)).Hold(reason.Code());
        batch.Pause(reason);
    }

    public async Task<bool> ReleasedAsync(CampaignsDb db, Batch batch, CancellationToken ct)
    {
        var notification = await FindAsync(db, batch, ct);
        if (notification.StatusReason != HoldReasons.ProviderDown) return false;
        notification.Resume();
        batch.Resume(clock.GetUtcNow());
        return true;
    }

    /// <summary>Nothing waits for its time.</summary>
    public Task HoldScheduledAsync(HoldReason reason, CancellationToken ct) => Task.CompletedTask;

    public static StatusReason ReasonOf(string code) => new(code, code == HoldReasons.Restored
        ? "The database is a restored copy, and the original may have sent this notification. Compare, then resume or stop it."
        : code == HoldReasons.ProviderDown ? "A server that one of its channels sends to takes nothing at the moment. It goes on by itself when that does."
        : "It stood still for so long that its receivers may not want it any more. Resume goes on, stop skips those left.");

    private static Task<Notification> FindAsync(CampaignsDb db, Batch batch, CancellationToken ct) => db.Notifications.SingleAsync(n => n.AppNo == batch.AppNo && n.Id == batch.Id, ct);
}
