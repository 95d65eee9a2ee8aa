using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;

namespace CampaignService.Campaigns;

/// <summary>What became of a campaign so far, for those who watch.</summary>
[ApiController]
[Route("api/campaigns/{id}/stream")]
[Tags("Campaigns")]
[AllowScope(Scopes.Send)]
public sealed class CampaignStreamController(
    CurrentApp app, KnownKeys keys, StreamSeats seats, IServiceScopeFactory scopes, IHostApplicationLifetime host, TimeProvider clock) : ControllerBase
{
    /// <summary>At most two events a second while messages go out; else whoever watches can wait a little.</summary>
    private static readonly TimeSpan Fast = TimeSpan.FromMilliseconds(500), Slow = TimeSpan.FromSeconds(2);

    /// <summary>A sign of life when nothing changes, so that proxies keep the connection.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);

    /// <summary>Follows a campaign as server-sent events: `progress`, at once and whenever it changed, at most twice a second, until it has ended.</summary>
    /// <remarks>At most 100 streams an app on one process. When the connection ends before the campaign, ask again.</remarks>
    /// <response code="429">`ERR_TOO_MANY_REQUESTS`: this app follows too many streams already.</response>
    [HttpGet]
    [Produces("text/event-stream")]
    [ProducesResponseType<ProgressView>(200)]
    public async Task Stream(string id, CancellationToken ct)
    {
        using var seat = seats.Take(app.No);
        // A stream would hold up the end of the process for as long as its campaign lasts.
        using var end = CancellationTokenSource.CreateLinkedTokenSource(ct, host.ApplicationStopping);
        var first = await ReadAsync(id, end.Token);
        Response.ContentType = "text/event-stream";
        Response.Headers.CacheControl = "no-cache";
        try
        {
            await FollowAsync(id, first, end.Token);
        }
        catch (Exception e) when (end.IsCancellationRequested || e is ApiException || DatabaseHealth.IsConnectionLoss(e))
        {
            // The client has gone, the service or the database goes, or the draft was deleted: who watches can ask again.
        }
    }

    private async Task FollowAsync(string id, ProgressView first, CancellationToken ct)
    {
        string? told = null;
        var toldAt = clock.GetTimestamp();
        for (var view = first; ; view = await ReadAsync(id, ct))
        {
            var json = JsonSerializer.Serialize(view, Json.Options);
            if (json != told || clock.GetElapsedTime(toldAt) > Silence)
            {
                await Response.WriteAsync(json == told ? ": nothing new\n\n" : $"event: progress\ndata: {json}\n\n", ct);
                await Response.Body.FlushAsync(ct);
                (told, toldAt) = (json, clock.GetTimestamp());
            }
            if (view.HasEnded) return;
            await Task.Delay(view.Status == CampaignStatus.Sending ? Fast : Slow, clock, ct);
            // The key that opened it may have been deleted since.
            if (await keys.FindAsync(Request.Headers["appId"].ToString(), Request.Headers["apiKey"].ToString(), ct) is null) return;
        }
    }

    /// <summary>Each time from the database, which is given back in between.</summary>
    private async Task<ProgressView> ReadAsync(string id, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var campaign = await scope.ServiceProvider.GetRequiredService<CampaignsDb>().FindCampaignAsync(app, id, ct);
        return ProgressView.Of(await scope.ServiceProvider.GetRequiredService<CampaignViews>().OfAsync(campaign, ct));
    }
}

/// <summary>How far a campaign has come.</summary>
/// <param name="Id">The campaign's id.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="StatusReason">Why it stands there, when that was not somebody's doing.</param>
/// <param name="Totals">Its ledger in numbers.</param>
/// <param name="Progress">The part of its messages that is not pending, 0 to 1.</param>
/// <param name="SecondsLeft">While sending: how long it will take at the pace of the last half minute, in seconds; null when that cannot be told.</param>
/// <param name="CompletedAt">When nothing was pending any more.</param>
public sealed record ProgressView(
    string Id, CampaignStatus Status, StatusReason? StatusReason, TotalsView Totals, double Progress, long? SecondsLeft, DateTimeOffset? CompletedAt)
{
    /// <summary>Nothing will change any more by itself.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool HasEnded => CompletedAt is not null || Status == CampaignStatus.Cancelled;

    public static ProgressView Of(CampaignView c) => new(c.Id, c.Status, c.StatusReason, c.Totals, c.Progress, c.SecondsLeft, c.CompletedAt);
}
