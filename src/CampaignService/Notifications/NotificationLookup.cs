using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

public static class NotificationLookup
{
    /// <exception cref="ApiException">404: the app has no such notification.</exception>
    public static async Task<Notification> FindNotificationAsync(this CampaignsDb db, CurrentApp app, string id, CancellationToken ct) =>
        (Ids.TryNumber(Ids.Notification, id, out var no) ? await db.Notifications.FirstOrDefaultAsync(n => n.AppNo == app.No && n.Id == no, ct) : null)
        ?? throw new ApiException(Errors.NotFound("notification", id));
}
