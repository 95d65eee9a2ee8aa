using System.Globalization;
using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;

namespace CampaignService.Webhooks;

/// <summary>The log of everything that happened.</summary>
[ApiController]
[Route("api/events")]
[Tags("Webhooks")]
[AllowScope]
public sealed class EventsController(CurrentApp app, EventReader reader, Cursors cursors, IOptions<EventRetentionSettings> retention) : ControllerBase
{
    /// <summary>Lists what happened, oldest first, without a gap.</summary>
    /// <remarks>
    /// Give `meta.next` as `after` to go on behind it. It is there as long as the answer holds events, at the end of the log too: who has come to the end keeps
    /// the last one and asks again with it later. Nothing ever comes in front of a cursor. Events are kept for 30 days unless set otherwise;
    /// a cursor behind which some are gone is refused (400): leave it out to go on with the oldest.
    /// </remarks>
    [HttpGet]
    public async Task<Page<EventView>> ListEvents([FromQuery] EventQuery query, CancellationToken ct)
    {
        var list = $"events:{app.No}";
        long after;
        try
        {
            after = cursors.Decode(list, query.After) is { } c ? long.Parse(c, CultureInfo.InvariantCulture) : 0;
        }
        catch (ApiException)
        {
            throw new ApiException(Errors.BadRequest("after: is not a cursor of this list; take it unchanged from meta.next, or leave it out to begin with the oldest event"));
        }
        var rows = await reader.AfterAsync(app.No, after, query.Limit, ct);
        // After reading: what is removed in between would be missing from the answer.
        if (after > 0 && after < await reader.PrunedToAsync(app.No, ct))
        {
            throw new ApiException(Errors.BadRequest(
                $"after: events behind this cursor have been removed; they are kept for {retention.Value.EventsDays} days (Retention__EventsDays). Leave it out to go on with the oldest event kept"));
        }
        var next = rows.Count == 0 ? null : cursors.Encode(list, rows[^1].Seq.ToString(CultureInfo.InvariantCulture));
        return new Page<EventView>(await reader.DescribeAsync(app.No, rows, ct), new PageMeta(query.Limit, rows.Count, next));
    }
}
