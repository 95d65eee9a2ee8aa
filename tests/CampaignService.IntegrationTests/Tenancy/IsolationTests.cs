using System.Net;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Tenancy;

/// <summary>Nothing of one app is visible to another, on every route that the service has.</summary>
public sealed class IsolationTests(TestService service) : IClassFixture<TestService>
{
    /// <summary>A body whose shape is right, where <c>{}</c> is not: else the refusal would be about the shape.</summary>
    private static readonly Dictionary<string, object> Bodies = new()
    {
        ["POST /api/campaigns/{id}/recipients"] = new { userIds = new[] { "ann" } },
        ["POST /api/campaigns/{id}/schedule"] = new { scheduledAt = "2999-01-01T00:00:00Z" },
        ["POST /api/campaigns/{id}/limit"] = new { ratePerSecond = 5 },
        ["POST /api/campaigns/{id}/test-send"] = new { userIds = new[] { "ann" } },
        ["POST /api/notification-feed/{id}/engagement"] = new { topic = "opened" },
        ["POST /api/webhooks/{id}/replay"] = new { from = 0, to = 1 },
    };

    [Fact]
    public async Task Every_route_with_an_id_is_404_to_another_app_and_changes_nothing()
    {
        var ours = await OursAsync();
        var them = await NeighbourAsync();
        var before = await FingerprintAsync();
        var routes = Route.AllOf(service).Where(r => r.HasId && !r.IsOperators && !MakesForAnyUser(r)).ToList();
        var failures = new List<string>();
        foreach (var route in routes)
        {
            foreach (var id in ours.Ids[route.Area])
            {
                var answer = await route.CallAsync(them(route), route.Path(name => name == "id" ? id : ours.Others[name]), Bodies.GetValueOrDefault(route.ToString()));
                if (answer.Status != HttpStatusCode.NotFound || answer.Code != "ERR_NOT_FOUND") failures.Add($"{route} ({id}): {(int)answer.Status} {answer.Text}");
            }
        }
        Assert.Empty(failures);
        Assert.Equal(before, await FingerprintAsync());
        Assert.True(routes.Count >= 19, $"only {routes.Count} routes");
    }

    [Fact]
    public async Task The_same_ids_are_known_to_their_own_app()
    {
        var ours = await OursAsync();
        foreach (var route in Route.AllOf(service).Where(r => r.HasId && r.IsGet && !r.IsOperators))
        {
            foreach (var id in ours.Ids[route.Area])
            {
                (await route.CallAsync(route.Area == "notification-feed" ? service.As("ann") : service.Api, route.Path(name => name == "id" ? id : ours.Others[name]))).ShouldBe(HttpStatusCode.OK);
            }
        }
    }

    [Fact]
    public async Task No_list_holds_anything_of_another_app()
    {
        var ours = await OursAsync();
        var them = await NeighbourAsync();
        foreach (var route in Route.AllOf(service).Where(r => !r.HasId && r.IsGet && !r.IsOperators))
        {
            var answer = (await route.CallAsync(them(route), "/" + route.Pattern)).ShouldBe(HttpStatusCode.OK);
            if (answer.Text.Length > 0 && answer.Data.ValueKind == JsonValueKind.Array) Assert.True(answer.Data.GetArrayLength() == 0, $"{route}: {answer.Text}");
            Assert.All(ours.Ids.Values.SelectMany(ids => ids), id => Assert.DoesNotContain(id, answer.Text, StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task No_body_can_name_anything_of_another_app()
    {
        var ours = (await OursAsync()).Ids;
        var them = await service.NewAppAsync($"n-{Guid.NewGuid():N}");
        var theirs = await them.NewCampaignAsync();
        var before = await FingerprintAsync();
        foreach (var channelId in ours["channels"])
        {
            var channels = new[] { new { channelType = "in_app", channelId, content = new { a = 1 } } };
            (await them.PostAsync("/api/templates", new { name = "x", channels })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        }
        foreach (var templateId in ours["templates"])
        {
            (await them.PostAsync("/api/campaigns", new { name = "x", templateId })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
            (await them.PutAsync($"/api/campaigns/{theirs}", new { templateId })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        }
        foreach (var campaignId in ours["campaigns"]) (await them.UploadAsync(campaignId, "user_id\nbob\n")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Equal(before, await FingerprintAsync());
    }

    [Fact]
    public async Task Two_apps_may_use_the_same_slugs()
    {
        var them = await service.NewAppAsync($"n-{Guid.NewGuid():N}");
        foreach (var api in new[] { service.Api, them })
        {
            (await api.PostAsync("/api/channels", new { name = "Same", type = "in_app", channelId = "same-slug" })).ShouldBe(HttpStatusCode.Created);
            var channels = new[] { new { channelType = "in_app", channelId = "same-slug", content = new { a = 1 } } };
            (await api.PostAsync("/api/templates", new { name = "Same", templateId = "same-slug", channels })).ShouldBe(HttpStatusCode.Created);
        }
        var (mine, other) = (await service.Api.GetAsync("/api/templates/same-slug"), await them.GetAsync("/api/templates/same-slug"));
        Assert.NotEqual(mine.Data.GetProperty("id").GetString(), other.Data.GetProperty("id").GetString());
    }

    /// <summary>A user need not be known: the same id in another app is another person, for whom this makes something.</summary>
    private static bool MakesForAnyUser(Route route) => route.ToString() is "POST /api/users/{id}/tokens" or "POST /api/users/{id}/devices";

    private sealed record Ours(Dictionary<string, string[]> Ids, Dictionary<string, string> Others);

    /// <summary>Something real of the app "demo" for every area of routes: ids, and slugs where those are taken, too.</summary>
    private async Task<Ours> OursAsync()
    {
        var suffix = Guid.NewGuid().ToString("N");
        var channel = (await service.Api.PostAsync("/api/channels", new { name = "Ours", type = "in_app", channelId = $"ours-{suffix}" })).ShouldBe(HttpStatusCode.Created).Data;
        var (slug, channels) = ($"ours-{suffix}", new[] { new { channelType = "in_app", channelId = $"ours-{suffix}", content = new { title = "Hello {{name}}" } } });
        var template = (await service.Api.PostAsync("/api/templates", new { name = "Ours", templateId = slug, status = "approved", templateCategory = $"Ours {suffix}", variableSchema = new[] { new { key = "name" } }, channels }))
            .ShouldBe(HttpStatusCode.Created).Data;
        var category = (await service.Api.GetAsync($"/api/templates/categories?search={suffix}")).ShouldBe(HttpStatusCode.OK).Data[0];
        var sent = await service.Api.NewCampaignAsync(slug, new { name = "all" });
        (await service.Api.PostAsync($"/api/campaigns/{sent}/recipients", new { userIds = new[] { "ann" } })).ShouldBe(HttpStatusCode.Created);
        (await service.Api.PostAsync($"/api/campaigns/{sent}/send")).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        var draft = await service.Api.NewCampaignAsync(slug, new { name = "all" });
        (await service.Api.PostAsync($"/api/campaigns/{draft}/recipients", new { userIds = new[] { "ann" } })).ShouldBe(HttpStatusCode.Created);
        var notification = (await service.Api.PostAsync("/api/notifications/messages", new { templateId = slug, receivers = new[] { "ann" } })).ShouldBe(HttpStatusCode.OK).Data;
        (await service.Api.PostAsync("/api/users", new { id = $"user-{suffix}" })).ShouldBe(HttpStatusCode.OK);
        (await service.Api.PostAsync($"/api/users/user-{suffix}/devices", new { deviceId = "phone", platform = "web", token = $"token-{suffix}" })).ShouldBe(HttpStatusCode.Created);
        var webhook = (await service.Api.PostAsync("/api/webhooks", new { url = "https://example.com/", events = new[] { "*" } })).ShouldBe(HttpStatusCode.Created).Data;
        var item = await service.ScalarAsync<long>("SELECT id FROM feed_items WHERE user_id = 'ann' ORDER BY id DESC LIMIT 1");
        return new Ours(
            new()
            {
                ["channels"] = [Text(channel, "id"), Text(channel, "channelId")],
                ["templates"] = [Text(template, "id"), slug],
                ["categories"] = [Text(category, "id"), Text(category, "categoryId")],
                ["campaigns"] = [sent, draft],
                ["notifications"] = [Text(notification, "notificationId")],
                ["users"] = [$"user-{suffix}"],
                ["webhooks"] = [Text(webhook, "id")],
                ["notification-feed"] = [Ids.FromNumber(Ids.FeedItem, item)],
            },
            new() { ["userId"] = "ann", ["deviceId"] = "phone" });
    }

    /// <summary>A new app with a full key; on feed routes it acts as a user of the same name as ours.</summary>
    private async Task<Func<Route, Api>> NeighbourAsync()
    {
        var plain = await service.NewAppAsync($"n-{Guid.NewGuid():N}");
        var asAnn = service.Client([.. plain.Http.DefaultRequestHeaders.Select(h => (h.Key, h.Value.Single())), ("onBehalfOf", "ann")]);
        return route => route.Area == "notification-feed" ? asAnn : plain;
    }

    /// <summary>Every row of every table.</summary>
    private async Task<Dictionary<string, string>> FingerprintAsync()
    {
        var tables = await service.ScalarAsync<string[]>(
            "SELECT array_agg(table_name::text) FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'");
        var rows = new Dictionary<string, string>();
        // From when on an app's own tokens are taken is noted also of people of whom it holds nothing else.
        foreach (var table in tables.Where(table => table != "token_cuts")) rows[table] = await service.ScalarAsync<string>($"SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM \"{table}\" t");
        return rows;
    }

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;
}
