using System.Globalization;
using System.Security.Claims;
using System.Threading.RateLimiting;
using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.Extensions.Options;

namespace CampaignService.Hosting;

/// <summary>
/// At most <c>Limits__RequestsPerMinute</c> for each key, or user with a token, in each minute of the clock, on this process: several behind one address allow as
/// many times that. Every answer says to them what is left, refusals and faults too.
/// </summary>
public static class ApiRateLimits
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    /// <summary>Behind authentication, for it goes by key, and before all that costs something.</summary>
    public static void UseApiRateLimits(this WebApplication app)
    {
        var limit = app.Services.GetRequiredService<IOptions<Limits>>().Value.RequestsPerMinute;
        if (limit == 0) return;
        var (clock, limiter) = (app.Services.GetRequiredService<TimeProvider>(), NewLimiter(limit));
        app.Lifetime.ApplicationStopped.Register(limiter.Dispose);
        app.Use(async (http, next) =>
        {
            if (CallerOf(http.User) is not { } caller)
            {
                await next(http);
                return;
            }
            var now = clock.GetUtcNow().ToUnixTimeSeconds();
            var window = (caller, now / 60);
            using var lease = limiter.AttemptAcquire(window);
            var (left, reset) = (limiter.GetStatistics(window)?.CurrentAvailablePermits ?? 0, (window.Item2 + 1) * 60);
            // As the answer goes out: a fault takes back the headers that were set before it.
            http.Response.OnStarting(() =>
            {
                SetHeaders(http.Response.Headers, limit, left, reset);
                return Task.CompletedTask;
            });
            if (lease.IsAcquired) await next(http);
            else await Problem.WriteAsync(http, Errors.TooManyRequests(limit, TimeSpan.FromSeconds(reset - now)));
        });
    }

    /// <summary>A minute has a limiter of its own, so that it is known when it ends. Nobody asks for it afterwards, and it is filled up again, found idle and thrown away.</summary>
    private static PartitionedRateLimiter<(string Caller, long Minute)> NewLimiter(int limit) =>
        PartitionedRateLimiter.Create<(string Caller, long Minute), (string Caller, long Minute)>(window => RateLimitPartition.GetFixedWindowLimiter(
            window, _ => new FixedWindowRateLimiterOptions { PermitLimit = limit, Window = Window, QueueLimit = 0 }));

    /// <returns>Null when nobody has signed in: what needs no key has no limit, and is refused elsewhere where it does.</returns>
    private static string? CallerOf(ClaimsPrincipal user) => user.FindFirst(ApiKeyAuthentication.KeyIdClaim)?.Value
        ?? (user.FindFirst(ApiKeyAuthentication.UserClaim)?.Value is { } userId ? $"{user.FindFirst(ApiKeyAuthentication.AppNoClaim)!.Value} {userId}" : null);

    private static void SetHeaders(IHeaderDictionary headers, int limit, long left, long reset)
    {
        headers["X-RateLimit-Limit"] = limit.ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Remaining"] = left.ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Reset"] = reset.ToString(CultureInfo.InvariantCulture);
    }
}
