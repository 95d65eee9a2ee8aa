using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace CampaignService.Common;

/// <summary>The body of every refusal: RFC 9457 problem details, and beside them the error object that campaign clients know.</summary>
/// <param name="Type">What kind of problem this is, a URI reference.</param>
/// <param name="Title">The status in words.</param>
/// <param name="Status">The HTTP status.</param>
/// <param name="Detail">What happened and what to do about it.</param>
/// <param name="TraceId">Under this id the request stands in the log.</param>
/// <param name="Error">The same for programs.</param>
public sealed record Problem(string Type, string Title, int Status, string Detail, string TraceId, ProblemError Error)
{
    public static async Task WriteAsync(HttpContext http, ApiError error)
    {
        if (http.Response.HasStarted) return;
        http.Response.StatusCode = error.Status;
        if (error.RetryAfter is { } after) http.Response.Headers.RetryAfter = Math.Ceiling(after.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        var problem = new Problem($"urn:campaigns:error:{error.Code}", Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(error.Status),
            error.Status, error.Message, TraceIdOf(http), new ProblemError(error.Code, error.Message, error.Message, error.Details, "campaigns-service"));
        http.Response.ContentType = "application/problem+json";
        await http.Response.BodyWriter.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(problem, Json.Options), http.RequestAborted);
    }

    public static string TraceIdOf(HttpContext http) => Activity.Current?.TraceId.ToHexString() ?? http.TraceIdentifier;
}

/// <summary>A refusal for programs.</summary>
/// <param name="Code">Stable code, <c>ERR_…</c>; decide by this.</param>
/// <param name="Message">What happened and what to do about it.</param>
/// <param name="DevMessage">The same with more for developers, where there is more.</param>
/// <param name="Details">For a bad request, an array of <c>"field: what is wrong"</c>, every fault of the request; else an object or null.</param>
/// <param name="Source">Always <c>campaigns-service</c>.</param>
public sealed record ProblemError(string Code, string Message, string DevMessage, object? Details, string Source);
