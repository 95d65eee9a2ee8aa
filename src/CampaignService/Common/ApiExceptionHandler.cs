using CampaignService.Data;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Common;

/// <summary>The one place where an exception becomes an answer.</summary>
public sealed class ApiExceptionHandler(DatabaseHealth health, ILogger<ApiExceptionHandler> log) : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        if (exception is OperationCanceledException && httpContext.RequestAborted.IsCancellationRequested)
        {
            httpContext.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
            return true;
        }
        var error = ToError(exception);
        if (error.Status == 503 && !DatabaseHealth.IsTimeout(exception)) health.Lost();
        if (error.Status >= 500) log.LogError(exception, "{Method} {Route} failed with {Code}", httpContext.Request.Method, RouteOf(httpContext), error.Code);
        await Problem.WriteAsync(httpContext, error);
        return true;
    }

    internal static ApiError ToError(Exception exception) => exception switch
    {
        ApiException e => e.Error,
        BadHttpRequestException { StatusCode: 413 } => Errors.TooLarge("The body", JsonBodyFormatter.MaxBytes),
        BadHttpRequestException e => Errors.BadRequest($"request: {e.Message}"),
        DbUpdateConcurrencyException => Errors.LostRace("object"),
        DbUpdateException { InnerException: { } inner } => ToError(inner),
        // Ids are random; what is numbered within its owner, such as a version, two requests can make at once.
        PostgresException { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: ['p', 'k', '_', ..] } => Errors.LostRace("object"),
        PostgresException { SqlState: PostgresErrorCodes.UniqueViolation } => Errors.Conflict("Another object of this app has that name or id already. Choose another."),
        // What is named was there a moment ago.
        PostgresException { SqlState: PostgresErrorCodes.ForeignKeyViolation } => Errors.LostRace("object"),
        // Also where a library wraps it, such as that of the schedule.
        _ when exception.GetBaseException() is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected } =>
            Errors.Conflict("Another request is working on the same object. Try again in a moment."),
        PostgresException { SqlState: PostgresErrorCodes.CharacterNotInRepertoire or PostgresErrorCodes.UntranslatableCharacter } =>
            Errors.BadRequest("request: holds the character U+0000, which cannot be stored"),
        _ when DatabaseHealth.IsConnectionLoss(exception) => Errors.Unavailable(),
        _ => Errors.OperationFailed(),
    };

    /// <summary>The route's pattern, not the path: a path holds user ids.</summary>
    private static string RouteOf(HttpContext http) =>
        (http.Features.Get<IExceptionHandlerFeature>()?.Endpoint as RouteEndpoint)?.RoutePattern.RawText ?? "unknown";
}
