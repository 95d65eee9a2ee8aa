using System.Globalization;
using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;

namespace CampaignService.Feed;

/// <summary>The feed that one user reads.</summary>
[ApiController]
[Route("api/notification-feed")]
[Tags("Feed")]
[AllowScope(Scopes.Feed)]
public sealed class FeedController(CurrentApp app, FeedReader reader, FeedMarks marks, FeedViews views, Cursors cursors) : ControllerBase
{
    /// <summary>Lists the user's items, newest first.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    [HttpGet]
    public async Task<Page<FeedItemView>> List([ActingUser] string onBehalfOf, [FromQuery] FeedQuery query, CancellationToken ct)
    {
        var (owner, list) = (OwnerOf(onBehalfOf), $"feed:{app.No}:{onBehalfOf}");
        var before = cursors.Decode(list, query.Cursor) is { } c ? long.Parse(c, CultureInfo.InvariantCulture) : long.MaxValue;
        var rows = await reader.PageAsync(owner, query.ToFilter(before), query.Limit + 1, ct);
        var page = Page.Of(rows, query.Limit, r => r, r => cursors.Encode(list, r.Id.ToString(CultureInfo.InvariantCulture)));
        return new Page<FeedItemView>(await views.OfAsync(owner, page.Data, ct), page.Meta);
    }

    /// <summary>Counts the user's items that have not been read.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    [HttpGet("unread-count")]
    public async Task<One<UnreadCount>> CountUnread([ActingUser] string onBehalfOf, CancellationToken ct) =>
        new(new UnreadCount(await reader.CountUnreadAsync(OwnerOf(onBehalfOf), ct)));

    /// <summary>One item.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="id">The item.</param>
    /// <response code="404">`ERR_NOT_FOUND`: the user has no such item.</response>
    [HttpGet("{id}")]
    public Task<One<FeedItemView>> Get([ActingUser] string onBehalfOf, string id, CancellationToken ct) => OneAsync(onBehalfOf, id, reader.FindAsync, ct);

    /// <summary>Marks an item as read, and as delivered if it was not. Safe to repeat: the first time is kept. No body is needed.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="id">The item.</param>
    /// <response code="404">`ERR_NOT_FOUND`: the user has no such item.</response>
    [HttpPost("{id}/read")]
    public Task<One<FeedItemView>> MarkRead([ActingUser] string onBehalfOf, string id, CancellationToken ct) => OneAsync(onBehalfOf, id, marks.ReadAsync, ct);

    /// <summary>Marks an item as delivered to a device. Safe to repeat: the first time is kept. No body is needed.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="id">The item.</param>
    /// <response code="404">`ERR_NOT_FOUND`: the user has no such item.</response>
    [HttpPost("{id}/delivered")]
    public Task<One<FeedItemView>> MarkDelivered([ActingUser] string onBehalfOf, string id, CancellationToken ct) => OneAsync(onBehalfOf, id, marks.DeliveredAsync, ct);

    private async Task<One<FeedItemView>> OneAsync(string userId, string id, Func<FeedOwner, long, CancellationToken, Task<FeedRow?>> find, CancellationToken ct)
    {
        var owner = OwnerOf(userId);
        var row = Ids.TryNumber(Ids.FeedItem, id, out var number) ? await find(owner, number, ct) : null;
        return new(await views.OfAsync(owner, row ?? throw new ApiException(Errors.NotFound("feed item", id)), ct));
    }

    private FeedOwner OwnerOf(string userId) => new(app.No, userId);
}
