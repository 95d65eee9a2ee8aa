using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Tenancy;

/// <summary>Who is let in, on every route that the service has.</summary>
public sealed class AuthenticationTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public void The_service_lists_its_routes()
    {
        var routes = Route.AllOf(service);
        Assert.Contains(new Route("POST", "api/templates/{id}/approve"), routes);
        Assert.Contains(new Route("GET", "api/campaigns/{id}/recipients/{userId}"), routes);
        Assert.Contains(new Route("POST", "api/campaigns/upload"), routes);
    }

    [Fact]
    public async Task Every_route_is_401_without_a_key_or_with_a_wrong_one()
    {
        await service.NewAppAsync("neighbour");
        var strangers = new Dictionary<string, Api>
        {
            ["nothing"] = service.Client(),
            ["no key"] = service.Client(("appId", "demo")),
            ["no app"] = service.Client(("apiKey", "demo-key")),
            ["a wrong key"] = service.Client(("appId", "demo"), ("apiKey", "demo-kez")),
            ["an empty key"] = service.Client(("appId", "demo"), ("apiKey", "")),
            ["an unknown app"] = service.Client(("appId", "nobody"), ("apiKey", "demo-key")),
            ["the key of another app"] = service.Client(("appId", "neighbour"), ("apiKey", "demo-key")),
            ["a key beside which others stand"] = service.Client(("appId", "demo"), ("apiKey", "demo-key, demo-key")),
            ["the operator's key in its place"] = service.Client(("appId", "demo"), ("apiKey", TestService.OperatorKey)),
            ["a token that is none"] = service.Client(("Authorization", "Bearer nothing")),
            ["a wrong operator's key"] = service.Client(("operatorKey", "operator-kez")),
        };
        foreach (var route in Route.AllOf(service))
        {
            foreach (var (what, api) in strangers)
            {
                var answer = await route.CallAsync(api, route.Path(_ => "nothing"));
                Assert.True(answer.Status == HttpStatusCode.Unauthorized, $"{route} with {what}: {answer.Status}");
                answer.ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
            }
        }
    }

    [Theory]
    [InlineData("full")]
    [InlineData("send")]
    [InlineData("read")]
    [InlineData("feed")]
    public async Task Every_route_is_open_to_the_scopes_it_is_for_and_403_to_the_others(string scope)
    {
        var api = await service.NewAppAsync($"only-{scope}", scope);
        foreach (var route in Route.AllOf(service).Where(r => !r.IsOperators))
        {
            var answer = await route.CallAsync(api, route.Path(_ => "nothing"));
            Assert.True(IsAllowed(route, scope) == (answer.Status != HttpStatusCode.Forbidden), $"{route} with a {scope} key: {answer.Status} {answer.Text}");
            Assert.NotEqual(HttpStatusCode.Unauthorized, answer.Status);
            if (answer.Status == HttpStatusCode.Forbidden) answer.ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        }
    }

    [Fact]
    public async Task A_key_with_several_scopes_may_do_what_each_allows()
    {
        var api = await service.NewAppAsync("reads-and-sends", "read", "send");
        (await api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
        (await api.PostAsync("/api/campaigns", new { name = "x", templateId = "nothing" })).ShouldBe(HttpStatusCode.NotFound);
        (await api.PostAsync("/api/templates", new { })).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
    }

    [Fact]
    public async Task Names_of_headers_are_taken_in_any_case() =>
        (await service.Client(("APPID", "demo"), ("apikey", "demo-key")).GetAsync("/api/templates")).ShouldBe(HttpStatusCode.OK);

    [Fact]
    public async Task A_refusal_says_what_to_send_and_what_the_key_may_do()
    {
        Assert.Contains("appId and apiKey", (await service.Client().GetAsync("/api/templates")).Text, StringComparison.Ordinal);
        var reader = await service.NewAppAsync("reader", "read");
        var refused = (await reader.PostAsync("/api/campaigns", new { })).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        Assert.Contains("read", refused.Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Whoever_is_not_let_in_learns_nothing_about_the_body()
    {
        (await service.Client().PostAsync("/api/templates", "{ broken")).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        var feed = await service.NewAppAsync("feed-only", "feed");
        (await feed.PostAsync("/api/templates", "{ broken")).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
    }

    /// <summary>The contract in one place; a new area has to say here who may call it.</summary>
    private static bool IsAllowed(Route route, string scope) => (route.Area, scope) switch
    {
        (_, "full") => true,
        (_, "read") => route.IsGet,
        _ when route.IsAnalytics => false,
        ("notification-feed", _) => scope == "feed",
        (_, "feed") => false,
        ("campaigns" or "notifications", "send") => true,
        ("templates" or "categories", "send") => route.IsGet,
        ("channels" or "users" or "webhooks" or "events", "send") => false,
        _ => throw new InvalidOperationException($"Who may call {route}?"),
    };
}
