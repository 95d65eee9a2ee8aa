using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

/// <summary>Campaigns: making, reading, changing and deleting them.</summary>
[ApiController]
[Route("api/campaigns")]
[Tags("Campaigns")]
[AllowScope(Scopes.Send)]
public sealed class CampaignsController(CampaignsDb db, CurrentApp app, CampaignViews views, CampaignDraft draft, Cursors cursors) : ControllerBase
{
    /// <summary>Makes a campaign, a draft.</summary>
    /// <response code="404">The template, or its version, is not known.</response>
    [HttpPost]
    [ProducesResponseType<One<CampaignView>>(201)]
    public async Task<IActionResult> Create(CreateCampaign body, CancellationToken ct)
    {
        var campaign = await draft.CreateAsync(body, ct);
        return Created($"/api/campaigns/{campaign.Id}", new One<CampaignView>(await views.OfAsync(campaign, ct)));
    }

    /// <summary>Lists the campaigns, newest first.</summary>
    [HttpGet]
    public async Task<Page<CampaignView>> List([FromQuery] CampaignQuery query, CancellationToken ct)
    {
        var list = $"campaigns:{app.No}";
        var before = cursors.Decode(list, query.Cursor);
        var rows = db.Campaigns.AsNoTracking().Include(c => c.Batch).Where(c => c.AppNo == app.No && (before == null || string.Compare(c.Id, before) < 0));
        if (query.Status is { } status) rows = rows.Where(c => c.Status == status);
        if (query.Tag is { } tag) rows = rows.Where(c => c.Tag == tag);
        var found = await rows.Containing(query.Search, c => c.Name, c => c.Id).OrderByDescending(c => c.Id).Take(query.Limit + 1).ToListAsync(ct);
        var page = Page.Of(found, query.Limit, c => c, c => cursors.Encode(list, c.Id));
        return new Page<CampaignView>(await views.OfAsync(page.Data, ct), page.Meta);
    }

    /// <summary>One campaign with its totals.</summary>
    [HttpGet("{id}")]
    public async Task<One<CampaignView>> Get(string id, CancellationToken ct) => new(await views.OfAsync(await db.FindCampaignAsync(app, id, ct), ct));

    /// <summary>Changes a draft: members left out stay as they are.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is no draft any more. `ERR_CONFLICT`: the columns uploaded do not fit the new template.</response>
    [HttpPut("{id}")]
    public async Task<One<CampaignView>> Edit(string id, EditCampaign body, CancellationToken ct) => new(await views.OfAsync(await draft.EditAsync(id, body, ct), ct));

    /// <summary>Deletes a draft and its recipients.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is no draft any more; what was sent stays.</response>
    [HttpDelete("{id}")]
    [ProducesResponseType(204)]
    public async Task<IActionResult> Delete(string id, CancellationToken ct)
    {
        await draft.DeleteAsync(id, ct);
        return NoContent();
    }
}
