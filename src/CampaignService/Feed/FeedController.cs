using System.Globalization;
using CampaignService.Common;
using CampaignService.Tenancy;
using CampaignService.Users;
using Microsoft.AspNetCore.Mvc;

namespace CampaignService.Feed;

/// <summary>The feed that one user reads.</summary>
[ApiController]
[Route("api/notification-feed")]
[Tags("Feed")]
[AllowScope(Scopes.Feed)]
public sealed class FeedController(CurrentApp app, FeedReader reader, FeedSearch search, FeedMarks marks, FeedViews views, Cursors cursors) : ControllerBase
{
    /// <summary>Lists the user's items, newest first.</summary>
    /// <remarks>
    /// A page is full unless the feed ends. One request looks at no more than 5,000 items: who asks for what is rarer than that gets a page with
    /// fewer items, perhaps none, whose `meta.next` goes on from there. The list has ended when `meta.next` is null.
    /// </remarks>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    [HttpGet]
    public async Task<Page<FeedItemView>> List([ActingUser] string onBehalfOf, [FromQuery] FeedQuery query, CancellationToken ct)
    {
        var (person, list) = (PersonOf(onBehalfOf), $"feed:{app.No}:{onBehalfOf}");
        var before = cursors.Decode(list, query.Cursor) is { } c ? long.Parse(c, CultureInfo.InvariantCulture) : long.MaxValue;
        var page = await search.PageAsync(person, query, before, ct);
        var next = page.Next is { } id ? cursors.Encode(list, id.ToString(CultureInfo.InvariantCulture)) : null;
        return new Page<FeedItemView>(await views.OfAsync(app.No, page.Rows, ct), new PageMeta(query.Limit, page.Rows.Count, next));
    }

    /// <summary>Counts the user's items that have not been read.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    [HttpGet("unread-count")]
    public async Task<One<UnreadCount>> CountUnread([ActingUser] string onBehalfOf, CancellationToken ct) =>
        new(new UnreadCount(await reader.CountUnreadAsync(PersonOf(onBehalfOf), ct)));

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

    /// <summary>Notes that the user acted upon an item. Safe to repeat: `engagedAt` is the first time, and each topic of an item counts once; an item keeps its first 50 topics.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="id">The item.</param>
    /// <param name="body">What the user did.</param>
    /// <param name="ct">Gives up.</param>
    /// <response code="404">`ERR_NOT_FOUND`: the user has no such item.</response>
    [HttpPost("{id}/engagement")]
    public Task<One<FeedItemView>> Engage([ActingUser] string onBehalfOf, string id, Engagement body, CancellationToken ct) =>
        OneAsync(onBehalfOf, id, (person, number, token) => marks.EngagedAsync(person, number, body.Topic.Trim(), token), ct);

    /// <summary>Marks every item that is in the feed now as read, and as delivered those that were not. Safe to repeat. What is sent later is unread. No body is needed.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    [HttpPost("read-all")]
    public async Task<One<MarkedCount>> ReadAll([ActingUser] string onBehalfOf, CancellationToken ct) => new(new MarkedCount(await marks.ReadAllAsync(PersonOf(onBehalfOf), ct)));

    /// <summary>Takes an item out of the feed. Safe to repeat. What was counted of it, such as that it was read, stays counted.</summary>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="id">The item.</param>
    /// <response code="204">It is not in the feed any more.</response>
    /// <response code="404">`ERR_NOT_FOUND`: the user never had such an item, or it has expired.</response>
    [HttpDelete("{id}")]
    [ProducesResponseType(204)]
    public async Task<IActionResult> Delete([ActingUser] string onBehalfOf, string id, CancellationToken ct) =>
        Ids.TryNumber(Ids.FeedItem, id, out var number) && await marks.DeleteAsync(PersonOf(onBehalfOf), number, ct)
            ? NoContent() : throw new ApiException(Errors.NotFound("feed item", id));

    private async Task<One<FeedItemView>> OneAsync(string userId, string id, Func<Person, long, CancellationToken, Task<FeedRow?>> find, CancellationToken ct)
    {
        var person = PersonOf(userId);
        var row = Ids.TryNumber(Ids.FeedItem, id, out var number) ? await find(person, number, ct) : null;
        return new(await views.OfAsync(app.No, row ?? throw new ApiException(Errors.NotFound("feed item", id)), ct));
    }

    private Person PersonOf(string userId) => new(app.No, userId);
}
