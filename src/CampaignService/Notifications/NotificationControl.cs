using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>What can be done to a notification that is being sent. Each verb locks the batch's row first, as everything that changes a batch does.</summary>
public sealed class NotificationControl(CampaignsDb db, CurrentApp app, BatchFinisher finisher, WorkSignal signal, TimeProvider clock)
{
    public Task<Notification> ResumeAsync(string id, CancellationToken ct) => ChangeAsync(id, (notification, batch) =>
    {
        notification.Resume();
        batch.Resume(clock.GetUtcNow());
        return ChunkControl.ReleaseAsync(db, batch, ct);
    }, ct);

    public async Task<Notification> StopAsync(string id, CancellationToken ct)
    {
        var notification = await ChangeAsync(id, async (changed, batch) =>
        {
            changed.Stop();
            batch.Stop();
            await ChunkControl.HoldAsync(db, batch, ct);
            await ChunkControl.CloseAsync(db, batch, MessageStatus.Skipped, "stopped", ct);
        }, ct);
        await finisher.TryFinishAsync(notification.Id, ct);
        await db.Entry(notification).ReloadAsync(ct);
        return notification;
    }

    private async Task<Notification> ChangeAsync(string id, Func<Notification, Batch, Task> change, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        if (!Ids.TryNumber(Ids.Notification, id, out var no)) throw new ApiException(Errors.NotFound("notification", id));
        await db.Database.ExecuteSqlAsync($"SET LOCAL lock_timeout = '2s'", ct);
        var batch = await db.Batches.FromSql($"SELECT * FROM batches WHERE id = {no} AND app_no = {app.No} FOR NO KEY UPDATE").FirstOrDefaultAsync(ct); // batches' key
        var notification = await db.FindNotificationAsync(app, id, ct);
        if (batch is null) throw new ApiException(Errors.InvalidState("notification", "completed", "changed", "sending", "paused"));
        await change(notification, batch);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        signal.Wake();
        return notification;
    }
}
