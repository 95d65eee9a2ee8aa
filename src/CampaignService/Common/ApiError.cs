namespace CampaignService.Common;

/// <summary>One refusal as the caller sees it. Every one the service can give stands in <see cref="Errors"/>.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Code">Stable, machine-readable code (<c>ERR_…</c>).</param>
/// <param name="Message">What happened and what to do about it, safe to show to a user of the calling system.</param>
/// <param name="Details">For a bad request: one line for each fault, <c>"field: what is wrong"</c>. Else an object, or nothing.</param>
/// <param name="RetryAfter">When set, sent as the <c>Retry-After</c> header.</param>
public sealed record ApiError(int Status, string Code, string Message, object? Details = null, TimeSpan? RetryAfter = null)
{
    /// <summary>Whether it refuses an <c>Idempotency-Key</c>, and not the request.</summary>
    public bool IsAboutKey => Code.StartsWith("ERR_IDEMPOTENCY", StringComparison.Ordinal);
}

/// <summary>A broken rule on its way to the caller; <c>ApiExceptionHandler</c> is the only place that catches it.</summary>
public sealed class ApiException(ApiError error) : Exception(error.Message)
{
    public ApiError Error { get; } = error;
}
