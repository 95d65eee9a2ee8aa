namespace CampaignService.Common;

/// <summary>The one catalog of what the API can refuse, and in which words.</summary>
public static class Errors
{
    public static ApiError BadRequest(params IReadOnlyList<string> details) => new(400, "ERR_BAD_REQUEST",
        details.Count == 1 ? details[0] : $"The request has {details.Count} faults; each stands in details.", details);

    public static ApiError Unauthorized(string message) => new(401, "ERR_UNAUTHORIZED", message);

    public static ApiError Forbidden(string message) => new(403, "ERR_FORBIDDEN", message);

    public static ApiError NotFound(string noun, string id) => new(404, "ERR_NOT_FOUND", $"There is no {noun} '{id}' in this app.");

    public static ApiError NoSuchApp(string id) => new(404, "ERR_NOT_FOUND", $"There is no app '{id}'.");

    public static ApiError NoSuchRoute(string path) => new(404, "ERR_NOT_FOUND", $"There is nothing at {path}. The routes are listed at /swagger.");

    public static ApiError MethodNotAllowed(string method, string allowed) => new(405, "ERR_METHOD_NOT_ALLOWED",
        $"{method} is not possible here{(allowed.Length == 0 ? "" : $"; allowed: {allowed}")}.");

    public static ApiError InvalidState(string noun, string state, string verb, params string[] allowed) => new(409, "ERR_INVALID_STATE",
        $"A {noun} that is {state} cannot be {verb}; it must be {string.Join(" or ", allowed)}.", new { state, allowed });

    public static ApiError Conflict(string message) => new(409, "ERR_CONFLICT", message);

    public static ApiError CategoryInUse(string name, int templates) => new(409, "ERR_CONFLICT",
        $"Category '{name}' is named by {templates} {(templates == 1 ? "template" : "templates")}, archived ones among them. Give those another category first, or rename it.", new { templates });

    public static ApiError LostRace(string noun) => Conflict($"Another request changed this {noun} at the same moment. Read it again, then decide.");

    public static ApiError NoRecipients() => new(409, "ERR_NO_RECIPIENTS",
        "The campaign has no recipients. Add some with POST /api/campaigns/{id}/recipients or POST /api/campaigns/upload.");

    public static ApiError TemplateNotApproved(string template, int version) => new(409, "ERR_TEMPLATE_NOT_APPROVED",
        $"Version {version} of template '{template}' is not approved. Approve it with POST /api/templates/{template}/approve.");

    public static ApiError TemplateArchived(string template) => new(409, "ERR_TEMPLATE_NOT_APPROVED",
        $"Template '{template}' is archived and cannot be sent. Choose another template.");

    public static ApiError NoEnabledChannel(string template) => new(409, "ERR_NO_ENABLED_CHANNEL",
        $"No channel of template '{template}' is enabled. Enable one with PUT /api/channels/{{id}} {{\"enabled\": true}}.");

    public static ApiError NothingToRetry() => new(409, "ERR_NOTHING_TO_RETRY",
        "Nobody is left to be retried. GET /api/campaigns/{id}/recipients/summary lists what was not delivered and why; include names which of it to retry.");

    public static ApiError CancelAfterFirstMessage() => new(409, "ERR_INVALID_STATE",
        "A campaign that is paused cannot be cancelled once messages were sent. End it with POST /api/campaigns/{id}/stop: those left are skipped.",
        new { state = "paused", allowed = "draft, scheduled, paused before the first message".Split(", ") });

    public static ApiError StopTimePassed() => new(409, "ERR_INVALID_STATE",
        "The campaign's stopAt has passed, so it cannot go on. Stop or cancel it, or duplicate it to send it anew.", new { state = "paused", allowed = "paused before its stopAt".Split(", ") });

    public static ApiError TooManyRequests(int limit, TimeSpan after) => new(429, "ERR_TOO_MANY_REQUESTS",
        $"This key, or this user, has made the {limit:N0} requests that are allowed in a minute. Wait until the next one begins.", RetryAfter: after);

    public static ApiError TooManyStreams(int limit) => new(429, "ERR_TOO_MANY_REQUESTS",
        $"There are {limit:N0} streams already. Close some, or ask now and then instead.", RetryAfter: TimeSpan.FromSeconds(30));

    public static ApiError InvalidVariables(IReadOnlyList<string> details) => new(400, "ERR_INVALID_VARIABLES",
        details.Count == 1 ? details[0] : $"{details.Count} values that the template needs are missing; each stands in details.", details);

    public static ApiError IdempotencyKeyReused() => new(422, "ERR_IDEMPOTENCY_KEY_REUSED",
        "This Idempotency-Key was used for another request: another path or another body. Take a new key for each new request.");

    public static ApiError IdempotencyInProgress() => new(409, "ERR_IDEMPOTENCY_IN_PROGRESS",
        "The request with this Idempotency-Key is still being worked on. Repeat it shortly to get its answer.", RetryAfter: TimeSpan.FromSeconds(1));

    public static ApiError IdempotencyAnswerLost() => new(409, "ERR_IDEMPOTENCY_ANSWER_LOST",
        "The request with this Idempotency-Key was carried out, but its answer was lost: with the process that worked on it, or with the key that it was sealed with. Read what it changed; it is not done again.");

    public static ApiError TooLarge(string what, long limit) => new(413, "ERR_TOO_LARGE", $"{what} is larger than the {limit:N0} bytes allowed.");

    public static ApiError UnsupportedMediaType(string expected) => new(415, "ERR_UNSUPPORTED_MEDIA_TYPE", $"Send the body as {expected}.");

    public static ApiError Unavailable() => new(503, "ERR_UNAVAILABLE",
        "The database cannot be reached at the moment. If this call changes something, it may or may not have been done: read before you repeat it, shortly.", RetryAfter: TimeSpan.FromSeconds(2));

    public static ApiError OperationFailed() => new(500, "ERR_OPERATION_FAILED",
        "The service failed to do this. The fault is logged under the traceId given here.");
}
