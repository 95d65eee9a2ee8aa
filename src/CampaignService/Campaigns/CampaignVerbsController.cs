using CampaignService.Common;
using CampaignService.Delivery;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Campaigns;

/// <summary>What can be done with a campaign as a whole.</summary>
[ApiController]
[Route("api/campaigns/{id}")]
[Tags("Campaigns")]
[AllowScope(Scopes.Send)]
public sealed class CampaignVerbsController(
    CurrentApp app, CampaignViews views, CampaignDraft draft, CampaignLauncher launcher, CampaignTimetable timetable, CampaignControl control) : ControllerBase
{
    /// <summary>Starts sending, now or at `scheduledAt`. Allowed from `draft` and `scheduled`.</summary>
    /// <response code="202">Sending has begun, or is scheduled; read the campaign to follow it.</response>
    /// <response code="409">`ERR_INVALID_STATE`, `ERR_NO_RECIPIENTS`, `ERR_TEMPLATE_NOT_APPROVED`, `ERR_NO_ENABLED_CHANNEL`, or `ERR_CONFLICT` while an upload is being stored.</response>
    [HttpPost("send")]
    [ProducesResponseType<One<CampaignView>>(202)]
    public async Task<IActionResult> Send(string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] SendCampaign? body, CancellationToken ct)
    {
        var stopAt = body?.StopAt ?? default;
        return Accepted(await ViewAsync(body?.ScheduledAt is { } at ? timetable.ScheduleAsync(app, id, at, stopAt, ct) : launcher.LaunchAsync(app, id, stopAt, ct), ct));
    }

    /// <summary>Schedules the start, or moves it. Allowed from `draft` and `scheduled`.</summary>
    /// <remarks>It is checked as for sending now. One that is found more than `Scheduling__MaxLateness` after its time is paused with the reason `late` and not started.</remarks>
    /// <response code="409">`ERR_INVALID_STATE`, `ERR_NO_RECIPIENTS`, `ERR_TEMPLATE_NOT_APPROVED` or `ERR_NO_ENABLED_CHANNEL`.</response>
    [HttpPost("schedule")]
    public Task<One<CampaignView>> Schedule(string id, ScheduleCampaign body, CancellationToken ct) => ViewAsync(timetable.ScheduleAsync(app, id, body.ScheduledAt, body.StopAt, ct), ct);

    /// <summary>Makes a scheduled campaign a draft again. Allowed from `scheduled`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is not scheduled.</response>
    [HttpPost("unschedule")]
    public Task<One<CampaignView>> Unschedule(string id, CancellationToken ct) => ViewAsync(timetable.UnscheduleAsync(app, id, ct), ct);

    /// <summary>Calls the campaign off for good. Allowed from `draft`, `scheduled`, and `paused` before the first message.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: sending has begun, or it ended.</response>
    [HttpPost("cancel")]
    public Task<One<CampaignView>> Cancel(string id, CancellationToken ct) => ViewAsync(control.CancelAsync(app, id, ct), ct);

    /// <summary>Holds the campaign where it is: after the answer nothing is handed over any more. Allowed from `sending`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is not sending.</response>
    [HttpPost("pause")]
    public Task<One<CampaignView>> Pause(string id, CancellationToken ct) => ViewAsync(control.PauseAsync(app, id, ct), ct);

    /// <summary>Goes on where it was paused; one that was paused before it started is started. Allowed from `paused`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is not paused, or its `stopAt` has passed. One that never started also: `ERR_TEMPLATE_NOT_APPROVED` or `ERR_NO_ENABLED_CHANNEL`.</response>
    [HttpPost("resume")]
    public Task<One<CampaignView>> Resume(string id, CancellationToken ct) => ViewAsync(control.ResumeAsync(app, id, ct), ct);

    /// <summary>Sets how many messages a second go to external channels, all together, or takes the limit away; in force within a second. Allowed from `draft`, `scheduled`, `sending` and `paused`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it has ended.</response>
    [HttpPost("limit")]
    public Task<One<CampaignView>> Limit(string id, LimitCampaign body, CancellationToken ct) => ViewAsync(control.LimitAsync(app, id, body.RatePerSecond, ct), ct);

    /// <summary>Ends the campaign early: those who are left are skipped with the reason `stopped`. Allowed from `sending` and `paused`.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is neither sending nor paused.</response>
    [HttpPost("stop")]
    public Task<One<CampaignView>> Stop(string id, CancellationToken ct) => ViewAsync(control.StopAsync(app, id, ct), ct);

    /// <summary>Sends again to those who were not served, and to nobody else. Allowed from `completed`, `partially_failed`, `failed` and `stopped`.</summary>
    /// <response code="202">Sending goes on; read the campaign to follow it.</response>
    /// <response code="409">`ERR_INVALID_STATE`, or `ERR_NOTHING_TO_RETRY`: nobody has such a status on an enabled channel.</response>
    [HttpPost("retry-failed")]
    [ProducesResponseType<One<CampaignView>>(202)]
    public async Task<IActionResult> RetryFailed(string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] RetryFailed? body, CancellationToken ct)
    {
        IReadOnlyList<RetryKind> include = body?.Include ?? [RetryKind.Failed];
        return Accepted(await ViewAsync(control.RetryFailedAsync(app, id, [.. include.Select(kind => (MessageStatus)kind).Distinct()], ct), ct));
    }

    /// <summary>Makes a new draft with the same template version, variables and audience. Allowed from any state.</summary>
    [HttpPost("duplicate")]
    [ProducesResponseType<One<CampaignView>>(201)]
    public async Task<IActionResult> Duplicate(string id, CancellationToken ct)
    {
        var copy = await draft.DuplicateAsync(id, ct);
        return Created($"/api/campaigns/{copy.Id}", new One<CampaignView>(await views.OfAsync(copy, ct)));
    }

    private async Task<One<CampaignView>> ViewAsync(Task<Campaign> change, CancellationToken ct) => new(await views.OfAsync(await change, ct));
}
