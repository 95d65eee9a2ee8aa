using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Campaigns;

/// <summary>What can be done with a campaign as a whole.</summary>
[ApiController]
[Route("api/campaigns/{id}")]
[Tags("Campaigns")]
[AllowScope(Scopes.Send)]
public sealed class CampaignVerbsController(CurrentApp app, CampaignViews views, CampaignDraft draft, CampaignLauncher launcher) : ControllerBase
{
    /// <summary>Starts sending now. Allowed from `draft`.</summary>
    /// <response code="202">Sending has begun; read the campaign to follow it.</response>
    /// <response code="409">`ERR_INVALID_STATE`, `ERR_NO_RECIPIENTS`, `ERR_TEMPLATE_NOT_APPROVED`, `ERR_NO_ENABLED_CHANNEL`, or `ERR_CONFLICT` while an upload is being stored.</response>
    [HttpPost("send")]
    [ProducesResponseType<One<CampaignView>>(202)]
    public async Task<IActionResult> Send(string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] SendCampaign? body, CancellationToken ct) =>
        Accepted(new One<CampaignView>(await views.OfAsync(await launcher.LaunchAsync(app, id, ct), ct)));

    /// <summary>Calls the campaign off for good. Allowed from `draft`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: sending has begun, or it ended.</response>
    [HttpPost("cancel")]
    public async Task<One<CampaignView>> Cancel(string id, CancellationToken ct) => new(await views.OfAsync(await draft.CancelAsync(id, ct), ct));

    /// <summary>Makes a new draft with the same template version, variables and audience. Allowed from any state.</summary>
    [HttpPost("duplicate")]
    [ProducesResponseType<One<CampaignView>>(201)]
    public async Task<IActionResult> Duplicate(string id, CancellationToken ct)
    {
        var copy = await draft.DuplicateAsync(id, ct);
        return Created($"/api/campaigns/{copy.Id}", new One<CampaignView>(await views.OfAsync(copy, ct)));
    }
}
