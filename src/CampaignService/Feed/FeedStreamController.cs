using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using CampaignService.Users;
using Microsoft.AspNetCore.Mvc;

namespace CampaignService.Feed;

/// <summary>A feed as it grows. Apart from the other routes of the feed because it lasts: it holds nothing of the database meanwhile.</summary>
[ApiController]
[Route("api/notification-feed/stream")]
[Tags("Feed")]
[AllowScope(Scopes.Feed)]
public sealed class FeedStreamController(CurrentApp app, FeedStreams streams, IHostApplicationLifetime host) : ControllerBase
{
    /// <summary>Follows the user's feed as server-sent events: `item`, with the item as its data and the item's id as the event's id.</summary>
    /// <remarks>
    /// Without a position only new items come. Whoever gives the id of the last event as the header `Last-Event-ID`, as browsers do by
    /// themselves when they connect again, or as `lastEventId`, gets everything since, and what was sent in the minute before it once more:
    /// each item comes at least once, so drop the ids you know. A comment comes at once and after 15 s without an event. A reader who
    /// lets 64 events wait is disconnected.
    /// </remarks>
    /// <param name="onBehalfOf">The user: 1 to 255 characters.</param>
    /// <param name="lastEventId">The id of the last event, where the header `Last-Event-ID` cannot be set; that goes before.</param>
    /// <param name="ct">Gives up.</param>
    /// <response code="429">`ERR_TOO_MANY_REQUESTS`: this process has 20,000 streams already.</response>
    [HttpGet]
    [Produces("text/event-stream")]
    [ProducesResponseType<FeedItemView>(200)]
    public async Task Stream([ActingUser] string onBehalfOf, [FromQuery] string? lastEventId, CancellationToken ct)
    {
        var since = SinceOf(lastEventId);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(ct, host.ApplicationStopping);
        var pass = new FeedPass(app.Id, Request.Headers["apiKey"].ToString(), UserTokenAuthentication.TokenOf(HttpContext));
        var stream = new FeedStream(new Person(app.No, onBehalfOf), pass, HttpContext.Abort);
        try
        {
            await foreach (var text in streams.FollowAsync(stream, since, end.Token))
            {
                if (!Response.HasStarted)
                {
                    Response.ContentType = "text/event-stream";
                    Response.Headers.CacheControl = "no-cache";
                    Response.Headers["X-Accel-Buffering"] = "no";
                }
                await Response.Body.WriteAsync(text, end.Token);
                await Response.Body.FlushAsync(end.Token);
            }
        }
        catch (Exception e) when (end.IsCancellationRequested || (Response.HasStarted && DatabaseHealth.IsConnectionLoss(e)))
        {
            // The client has gone, or the service or the database goes: who follows can ask again.
        }
    }

    private long? SinceOf(string? fromQuery)
    {
        var given = Text.TrimToNull(Request.Headers["Last-Event-ID"]) ?? Text.TrimToNull(fromQuery);
        if (given is null) return null;
        return Ids.TryNumber(Ids.FeedItem, given, out var id) && id >= 0 ? id
            : throw new ApiException(Errors.BadRequest("lastEventId: is no id of an event of this stream; leave it out to get only what is new"));
    }
}
