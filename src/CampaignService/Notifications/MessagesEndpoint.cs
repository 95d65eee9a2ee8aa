using CampaignService.Common;
using CampaignService.Idempotency;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Http.Metadata;

namespace CampaignService.Notifications;

/// <summary>
/// Direct notifications: sent in one call, without a campaign. No controller's action, but a bare endpoint: what controllers do around an
/// action took a fifth of the time of a call that is made thousands of times a second.
/// </summary>
public static class MessagesEndpoint
{
    public static void MapMessages(this IEndpointRouteBuilder routes)
    {
        foreach (var path in (string[])["/api/notifications/messages", "/notifications/messages"])
        {
            routes.MapPost(path, new RequestDelegate(Send)).WithTags("Notifications").WithMetadata(
                ((Delegate)Send).Method, new AllowScopeAttribute(Scopes.Send), new StoresItsAnswerAttribute(), new LogsFailuresAttribute(), new AcceptsMetadata(["application/json"], typeof(SendNotification)),
                new ProducesResponseTypeMetadata(200, typeof(One<SentNotification>), ["application/json"]), new ProducesResponseTypeMetadata(202, typeof(One<QueuedNotification>), ["application/json"]));
        }
    }

    /// <summary>Sends a template to up to 10,000 users, ahead of campaigns. To at most 10 it is in their feeds when the answer arrives; to more it is queued.</summary>
    /// <remarks>Send an `Idempotency-Key`: a call whose answer was lost can then be repeated, and nobody is sent to twice.</remarks>
    /// <response code="200">Delivered: at most 10 different receivers.</response>
    /// <response code="202">Queued: more than that.</response>
    /// <response code="400">`ERR_BAD_REQUEST`; `ERR_TARGET_LIMIT_EXCEEDED`: more than 10,000 receivers; `ERR_INVALID_VARIABLES`: at most 10 receivers, and values that the template requires are missing (of more receivers those are skipped, reason `missing_variable`).</response>
    /// <response code="404">The app has no such template, or that has no such version.</response>
    /// <response code="409">`ERR_TEMPLATE_NOT_APPROVED` or `ERR_NO_ENABLED_CHANNEL`.</response>
    private static async Task Send(HttpContext http)
    {
        if (await JsonBodyFormatter.ReadAsync<SendNotification>(http) is not { } body) return;
        var sent = await http.RequestServices.GetRequiredService<NotificationSender>().SendAsync(body, http.Features.Get<IdempotentRequest>(), http.RequestAborted);
        await sent.Answer.WriteAsync(http, sent.Replayed);
    }
}
