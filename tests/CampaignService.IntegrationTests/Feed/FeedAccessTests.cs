using System.Net;
using System.Net.Sockets;
using System.Text;
using CampaignService.IntegrationTests.Support;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedAccessTests(FeedService service) : IClassFixture<FeedService>
{
    [Fact]
    public async Task Another_users_item_is_not_there()
    {
        await service.GreetAsync("owner", "stranger");
        var item = (await FeedService.ItemsAsync(service.As("owner")))[0];
        await ShouldNotReachAsync(service.As("stranger"), item);
        Assert.Equal("sent", (await FeedService.NewestAsync(service.As("owner"))).GetProperty("status").GetString());
    }

    [Fact]
    public async Task The_same_user_id_in_two_apps_is_two_users()
    {
        var twin = await service.NewAppAsync("twin");
        var here = await service.GreetAsync("same");
        var there = await service.SendAsync(twin, await service.NewTemplateAsync(twin, new { title = "There" }), new() { ["same"] = [] });
        twin.Http.DefaultRequestHeaders.Add("onBehalfOf", "same");
        Assert.Equal(here, (await FeedService.NewestAsync(service.As("same"))).GetProperty("campaignId").GetString());
        Assert.Equal(there, (await FeedService.NewestAsync(twin)).GetProperty("campaignId").GetString());
        Assert.Single(await FeedService.ItemsAsync(twin));
        await ShouldNotReachAsync(twin, (await FeedService.ItemsAsync(service.As("same")))[0]);
        await ShouldNotReachAsync(service.As("same"), (await FeedService.ItemsAsync(twin))[0]);
        Assert.Equal((1, 1), (await FeedService.UnreadAsync(twin), await FeedService.UnreadAsync(service.As("same"))));
    }

    [Theory]
    [InlineData("fit_0000000000000000")]
    [InlineData("fit_7fffffffffffffff")]
    [InlineData("fit_ffffffffffffffff")]
    [InlineData("fit_xyz")]
    [InlineData("fit_")]
    [InlineData("1")]
    [InlineData("%F0%9F%8E%89")]
    [InlineData("' OR 1=1 --")]
    public async Task An_id_that_is_none_is_not_there(string id) => await ShouldNotReachAsync(service.As("anybody"), id);

    [Fact]
    public async Task An_id_in_capitals_is_another_id()
    {
        await service.GreetAsync("capitals");
        var id = (await FeedService.ItemsAsync(service.As("capitals")))[0];
        await ShouldNotReachAsync(service.As("capitals"), id.Replace("fit_", "FIT_", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_user_nothing_is_answered()
    {
        var item = FeedService.Feed + "/fit_0000000000000000";
        foreach (var api in new[] { service.Api, service.As(""), service.As(" \t ") })
        {
            foreach (var refused in new[]
            {
                await api.GetAsync(FeedService.Feed), await api.GetAsync(FeedService.Feed + "/unread-count"), await api.GetAsync(item),
                await api.PostAsync(item + "/read"), await api.PostAsync(item + "/delivered"),
            })
            {
                Assert.StartsWith("onBehalfOf: ", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public async Task A_user_id_has_at_most_255_code_points()
    {
        (await service.As(new string('u', 255)).GetAsync(FeedService.Feed)).ShouldBe(HttpStatusCode.OK);
        var refused = await service.As(new string('u', 256)).GetAsync(FeedService.Feed);
        Assert.StartsWith("onBehalfOf: ", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
    }

    [Fact]
    public async Task White_space_around_a_user_id_is_no_part_of_it_but_case_is()
    {
        await service.GreetAsync("Spaced");
        Assert.Single(await FeedService.ItemsAsync(service.As("  Spaced ")));
        Assert.Empty(await FeedService.ItemsAsync(service.As("spaced")));
    }

    [Fact]
    public async Task A_feed_key_may_call_the_feed_and_nothing_else()
    {
        var key = await KeyAsync("feed");
        await service.GreetAsync("keyed");
        key.Http.DefaultRequestHeaders.Add("onBehalfOf", "keyed");
        var id = (await FeedService.ItemsAsync(key))[0];
        await FeedService.UnreadAsync(key);
        (await key.GetAsync($"{FeedService.Feed}/{id}")).ShouldBe(HttpStatusCode.OK);
        (await key.PostAsync($"{FeedService.Feed}/{id}/delivered")).ShouldBe(HttpStatusCode.OK);
        (await key.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldBe(HttpStatusCode.OK);
        foreach (var path in new[] { "/api/campaigns", "/api/channels" })
        {
            (await key.GetAsync(path)).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
            (await key.PostAsync(path, new { name = "x" })).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        }
    }

    [Fact]
    public async Task A_read_key_may_look_but_not_mark_and_a_send_key_neither()
    {
        await service.GreetAsync("looked");
        var read = await KeyAsync("read");
        read.Http.DefaultRequestHeaders.Add("onBehalfOf", "looked");
        var id = (await FeedService.ItemsAsync(read))[0];
        (await read.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        (await read.PostAsync($"{FeedService.Feed}/{id}/delivered")).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        Assert.Equal("sent", (await FeedService.NewestAsync(read)).GetProperty("status").GetString());
        // Who may not is told so before anything is said about the user.
        (await (await KeyAsync("send")).GetAsync(FeedService.Feed)).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        (await service.Client(("onBehalfOf", "looked")).GetAsync(FeedService.Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
    }

    [Fact]
    public async Task A_user_id_of_emoji_comes_through_the_real_server_as_UTF8()
    {
        const string user = "zoë-🎉👩‍👩‍👧-日本";
        var campaign = await service.GreetAsync(user);
        await using var factory = new OnKestrel(service.ConnectionString);
        factory.UseKestrel(0);
        factory.StartServer();
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, factory.ClientOptions.BaseAddress.Port);
        await using var stream = client.GetStream();
        await stream.WriteAsync(Encoding.UTF8.GetBytes(
            $"GET {FeedService.Feed} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nappId: demo\r\napiKey: demo-key\r\nonBehalfOf: {user}\r\n\r\n"));
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var answer = await reader.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        Assert.Contains(campaign, answer, StringComparison.Ordinal);
    }

    private static async Task ShouldNotReachAsync(Api user, string id)
    {
        var item = $"{FeedService.Feed}/{id}";
        foreach (var refused in new[] { await user.GetAsync(item), await user.PostAsync(item + "/read"), await user.PostAsync(item + "/delivered") })
        {
            refused.ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        }
    }

    /// <summary>A client of the app "demo" with a key of this scope.</summary>
    private async Task<Api> KeyAsync(string scope)
    {
        var key = await service.Client(("operatorKey", TestService.OperatorKey)).PostAsync("/api/apps/demo/keys", new { name = scope, scopes = new[] { scope } });
        return service.Client(("appId", "demo"), ("apiKey", key.ShouldBe(HttpStatusCode.Created).Data.GetProperty("key").GetString()!));
    }

    /// <summary>The service on the fixture's database, behind a server that reads bytes from a socket.</summary>
    private sealed class OnKestrel(string connectionString) : WebApplicationFactory<Program>
    {
        protected override void ConfigureWebHost(IWebHostBuilder builder)
        {
            builder.UseEnvironment("Production");
            builder.UseSetting("ConnectionStrings:Campaigns", connectionString);
            builder.UseSetting("Roles", "api").UseSetting("Serilog:MinimumLevel", "Fatal");
        }
    }
}
