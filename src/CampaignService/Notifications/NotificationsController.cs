using System.Globalization;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>Direct notifications, tracked like campaigns.</summary>
[ApiController]
[Route("api/notifications")]
[Tags("Notifications")]
[AllowScope(Scopes.Send)]
public sealed class NotificationsController(
    CampaignsDb db, CurrentApp app, NotificationControl control, NotificationViews views, NotificationLedger ledger, Cursors cursors) : ControllerBase
{
    /// <summary>Lists the notifications, newest first.</summary>
    [HttpGet]
    public async Task<Page<NotificationView>> List([FromQuery] NotificationQuery query, CancellationToken ct)
    {
        var list = $"notifications:{app.No}";
        var before = cursors.Decode(list, query.Cursor) is { } c ? long.Parse(c, CultureInfo.InvariantCulture) : long.MaxValue;
        var rows = db.Notifications.AsNoTracking().Where(n => n.AppNo == app.No && n.Id < before);
        if (query.Status is { } status) rows = rows.Where(n => n.Status == status);
        if (query.Tag is { } tag) rows = rows.Where(n => n.Tag == tag);
        var found = await rows.OrderByDescending(n => n.Id).Take(query.Limit + 1).ToListAsync(ct);
        var page = Page.Of(found, query.Limit, n => n, n => cursors.Encode(list, n.Id.ToString(CultureInfo.InvariantCulture)));
        return new Page<NotificationView>(await views.OfAsync(page.Data, ct), page.Meta);
    }

    /// <summary>One notification, by the `notificationId` or `batchId` of the answer to its sending.</summary>
    [HttpGet("{id}")]
    public async Task<One<NotificationView>> Get(string id, CancellationToken ct) => new(await views.OfAsync(await db.FindNotificationAsync(app, id, ct), ct));

    /// <summary>Lists its receivers in order of user id, with what became of each.</summary>
    [HttpGet("{id}/recipients")]
    public async Task<Page<RecipientView>> ListRecipients(string id, [FromQuery] RecipientQuery query, CancellationToken ct)
    {
        var list = $"notification-recipients:{app.No}:{id}";
        var after = cursors.Decode(list, query.Cursor);
        var notification = await db.FindNotificationAsync(app, id, ct);
        var rows = await ledger.TakeAsync(notification, query, after, query.Limit + 1, ct);
        return Page.Of(rows, query.Limit, r => r, r => cursors.Encode(list, r.UserId));
    }

    /// <summary>Goes on with one that the service holds (see its `statusReason`). Allowed from `paused`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is not paused.</response>
    [HttpPost("{id}/resume")]
    public async Task<One<NotificationView>> Resume(string id, CancellationToken ct) => new(await views.OfAsync(await control.ResumeAsync(id, ct), ct));

    /// <summary>Ends it early: those left are skipped with the reason `stopped`. Allowed from `sending` and `paused`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it has ended.</response>
    [HttpPost("{id}/stop")]
    public async Task<One<NotificationView>> Stop(string id, CancellationToken ct) => new(await views.OfAsync(await control.StopAsync(id, ct), ct));
}
