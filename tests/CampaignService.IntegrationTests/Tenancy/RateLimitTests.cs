using System.Globalization;
using System.Net;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Tenancy;

public sealed class RateLimitTests(RateLimitTests.Ten service) : IClassFixture<RateLimitTests.Ten>
{
    [Fact]
    public async Task A_key_may_make_so_many_requests_in_a_minute_and_is_told_what_is_left()
    {
        // All in one minute.
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<double>("SELECT extract(second FROM clock_timestamp())::float8") < 45);
        var (api, start) = (await service.NewAppAsync($"app-{Guid.NewGuid():N}"), Now());
        for (var i = 1; i <= Ten.Limit; i++)
        {
            // Found or not, allowed or refused: each counts and each says so.
            var answer = i % 2 == 0 ? await api.GetAsync("/api/channels") : (await api.PostAsync("/api/channels", "{ broken")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
            Assert.Equal((Ten.Limit, Ten.Limit - i), (Header(answer, "X-RateLimit-Limit"), Header(answer, "X-RateLimit-Remaining")));
            Assert.InRange(Header(answer, "X-RateLimit-Reset"), start, start + 61);
        }
        var refused = (await api.GetAsync("/api/channels")).ShouldRefuse(HttpStatusCode.TooManyRequests, "ERR_TOO_MANY_REQUESTS");
        Assert.Equal((Ten.Limit, 0), (Header(refused, "X-RateLimit-Limit"), Header(refused, "X-RateLimit-Remaining")));
        Assert.InRange(Header(refused, "Retry-After"), 1, 60);
        Assert.InRange(Header(refused, "X-RateLimit-Reset") - Now(), Header(refused, "Retry-After") - 2, Header(refused, "Retry-After"));
        Assert.DoesNotContain("X-RateLimit-Limit", (await service.Client().GetAsync("/health/live")).Headers.Select(h => h.Key));
        Assert.DoesNotContain("X-RateLimit-Limit", (await service.Client().GetAsync("/api/channels")).Headers.Select(h => h.Key));
        // Another key of the same app has its own.
        var id = api.Http.DefaultRequestHeaders.GetValues("appId").Single();
        var key = await service.Client(("operatorKey", TestService.OperatorKey)).PostAsync($"/api/apps/{id}/keys", new { name = "other", scopes = new[] { "read" } });
        var other = service.Client(("appId", id), ("apiKey", key.Data.GetProperty("key").GetString()!));
        Assert.Equal(Ten.Limit - 1, Header((await other.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK), "X-RateLimit-Remaining"));
        Assert.Equal(Ten.Limit - 2, Header((await other.PostAsync("/api/channels", new { })).ShouldBe(HttpStatusCode.Forbidden), "X-RateLimit-Remaining"));
    }

    private static long Header(Answer answer, string name) => long.Parse(answer.Headers.GetValues(name).Single(), CultureInfo.InvariantCulture);

    private long Now() => service.Services.GetRequiredService<TimeProvider>().GetUtcNow().ToUnixTimeSeconds();

    public sealed class Ten : TestService
    {
        public const int Limit = 10;

        protected override Dictionary<string, string> Settings => new() { ["Limits:RequestsPerMinute"] = $"{Limit}" };
    }
}

public sealed class NoRateLimitTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task Without_the_setting_nothing_is_said_of_limits() =>
        Assert.DoesNotContain("X-RateLimit-Limit", (await service.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK).Headers.Select(h => h.Key));
}
