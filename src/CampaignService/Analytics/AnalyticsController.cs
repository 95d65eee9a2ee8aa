using CampaignService.Campaigns;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;
using CampaignService.Tenancy;
using CampaignService.Users;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Analytics;

/// <summary>Numbers over time.</summary>
[ApiController]
[Route("api/analytics")]
[Tags("Analytics")]
[AllowScope]
public sealed class AnalyticsController(CampaignsDb db, CurrentApp app, StatsReader stats, UserStatsReader userStats, TimeProvider clock, Cursors cursors) : ControllerBase
{
    /// <summary>The numbers of the whole app: campaigns and direct notifications.</summary>
    [HttpGet("overview")]
    public Task<One<AnalyticsView>> Overview([FromQuery] AnalyticsQuery query, CancellationToken ct) => ReadAsync(WindowOf(query), new StatsScope(app.No, query.Tag), ct);

    /// <summary>The numbers of one campaign; of a draft they are all 0.</summary>
    [HttpGet("campaigns/{id}")]
    public async Task<One<AnalyticsView>> Campaign(string id, [FromQuery] AnalyticsQuery query, CancellationToken ct)
    {
        var window = WindowOf(query);
        var campaign = await db.FindCampaignAsync(app, id, ct);
        return await ReadAsync(window, new StatsScope(app.No, query.Tag, CampaignId: campaign.Id), ct);
    }

    /// <summary>The numbers of one template: of all its versions, in campaigns and direct notifications.</summary>
    [HttpGet("templates/{id}")]
    public async Task<One<AnalyticsView>> Template(string id, [FromQuery] AnalyticsQuery query, CancellationToken ct)
    {
        var window = WindowOf(query);
        var template = await db.FindTemplateAsync(app, id, ct);
        return await ReadAsync(window, new StatsScope(app.No, query.Tag, TemplateId: template.Id), ct);
    }

    /// <summary>The numbers of each channel of the app, the newest channel first.</summary>
    [HttpGet("channels")]
    public async Task<Page<ChannelAnalyticsView>> Channels([FromQuery] AnalyticsQuery query, [FromQuery] PageQuery page, CancellationToken ct)
    {
        var (window, list) = (WindowOf(query), $"channel-analytics:{app.No}");
        var before = cursors.Decode(list, page.Cursor);
        var rows = await db.Channels.AsNoTracking().Where(c => c.AppNo == app.No && (before == null || string.Compare(c.Id, before) < 0))
            .OrderByDescending(c => c.Id).Take(page.Limit + 1).ToListAsync(ct);
        var byChannel = await stats.ReadAsync(new StatsScope(app.No, query.Tag, Channels: [.. rows.Select(c => c.No)]), window, ct);
        return Page.Of(rows, page.Limit, c => ChannelAnalyticsView.Of(c, window, byChannel[c.No]), c => cursors.Encode(list, c.Id));
    }

    /// <summary>What one user did with what was sent to them, counted in their feed. Of an erased person nothing is left to count.</summary>
    /// <response code="404">`ERR_NOT_FOUND`: nothing is held of such a person.</response>
    [HttpGet("users/{id}")]
    public async Task<One<UserAnalyticsView>> OfUser([UserId] string id, [FromQuery] AnalyticsQuery query, CancellationToken ct)
    {
        var (window, person) = (WindowOf(query), new Person(app.No, id));
        if (!await db.Users.AnyAsync(u => u.AppNo == app.No && u.Id == id, ct) && !await userStats.AnyAsync(person, ct)) throw new ApiException(Errors.NotFound("user", id));
        return new One<UserAnalyticsView>(UserAnalyticsView.Of(id, window, await userStats.ReadAsync(person, query.Tag, window, ct)));
    }

    private AnalyticsWindow WindowOf(AnalyticsQuery query) => AnalyticsWindow.Of(query, clock.GetUtcNow());

    private async Task<One<AnalyticsView>> ReadAsync(AnalyticsWindow window, StatsScope scope, CancellationToken ct) =>
        new(AnalyticsView.Of(window, (await stats.ReadAsync(scope, window, ct))[0]));
}
