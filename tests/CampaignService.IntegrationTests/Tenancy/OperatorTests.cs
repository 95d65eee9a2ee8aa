using System.Net;
using System.Security.Cryptography;
using System.Text;
using CampaignService.Data;
using CampaignService.IntegrationTests.Support;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace CampaignService.IntegrationTests.Tenancy;

public sealed class OperatorTests(TestService service) : IClassFixture<TestService>
{
    private Api Operator => service.Client(("operatorKey", TestService.OperatorKey));

    [Fact]
    public async Task The_operator_makes_and_lists_apps()
    {
        var app = (await Operator.PostAsync("/api/apps", new { id = "shop.one", name = " The shop " })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(["id", "name", "createdAt"], app.EnumerateObject().Select(m => m.Name));
        Assert.Equal(("shop.one", "The shop"), (app.GetProperty("id").GetString(), app.GetProperty("name").GetString()));
        Assert.Contains("shop.one", (await Operator.GetAsync("/api/apps")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(a => a.GetProperty("id").GetString()));
        (await Operator.PostAsync("/api/apps", new { id = "shop.one", name = "Again" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
    }

    [Fact]
    public async Task Faults_of_an_app_and_of_a_key_come_all_at_once()
    {
        Assert.Equal(["id", "name"], Members(await Operator.PostAsync("/api/apps", new { id = "with space", name = " " })));
        Assert.Equal(["name", "scopes"], Members(await Operator.PostAsync("/api/apps/demo/keys", new { name = new string('n', 201), scopes = new[] { "everything" } })));
        Assert.Equal(["scopes"], Members(await Operator.PostAsync("/api/apps/demo/keys", new { name = "n", scopes = Array.Empty<string>() })));
    }

    [Fact]
    public async Task A_key_is_shown_once_and_stored_hashed()
    {
        var made = (await Operator.PostAsync("/api/apps/demo/keys", new { name = "backend", scopes = new[] { "send", "read", "send" } })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(["id", "name", "scopes", "key"], made.EnumerateObject().Select(m => m.Name));
        Assert.Equal(["send", "read"], made.GetProperty("scopes").EnumerateArray().Select(s => s.GetString()));
        var (id, key) = (made.GetProperty("id").GetString()!, made.GetProperty("key").GetString()!);
        Assert.True(key.Length >= 40);

        var listed = (await Operator.GetAsync("/api/apps/demo/keys")).ShouldBe(HttpStatusCode.OK);
        Assert.DoesNotContain(key, listed.Text, StringComparison.Ordinal);
        var row = listed.Data.EnumerateArray().Single(k => k.GetProperty("id").GetString() == id);
        Assert.Equal(["id", "name", "scopes", "createdAt"], row.EnumerateObject().Select(m => m.Name));

        Assert.DoesNotContain(key, await service.ScalarAsync<string>("SELECT string_agg(k::text, ' ') FROM api_keys k"), StringComparison.Ordinal);
        Assert.Equal(SHA256.HashData(Encoding.UTF8.GetBytes(key)), await service.ScalarAsync<byte[]>("SELECT hash FROM api_keys WHERE id = $1", id));
    }

    [Fact]
    public async Task A_deleted_key_is_refused_at_once_and_the_others_are_not()
    {
        var first = (await Operator.PostAsync("/api/apps/demo/keys", new { name = "a", scopes = new[] { "full" } })).Data;
        var second = (await Operator.PostAsync("/api/apps/demo/keys", new { name = "b", scopes = new[] { "full" } })).Data;
        var (api, other) = (Client(first), Client(second));
        (await api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
        var path = $"/api/apps/demo/keys/{first.GetProperty("id").GetString()}";
        (await Operator.DeleteAsync(path)).ShouldBe(HttpStatusCode.NoContent);
        (await api.GetAsync("/api/channels")).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        (await other.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
        (await Operator.DeleteAsync(path)).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Operator.DeleteAsync($"/api/apps/nobody/keys/{second.GetProperty("id").GetString()}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await other.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_key_can_be_deleted_only_under_its_own_app()
    {
        await service.NewAppAsync("its-own");
        var key = (await Operator.GetAsync("/api/apps/its-own/keys")).Data[0].GetProperty("id").GetString();
        (await Operator.DeleteAsync($"/api/apps/demo/keys/{key}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task The_keys_of_an_unknown_app_are_404()
    {
        (await Operator.GetAsync("/api/apps/nobody/keys")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Operator.PostAsync("/api/apps/nobody/keys", new { name = "a", scopes = new[] { "full" } })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task An_apps_own_key_opens_nothing_of_the_operators() =>
        (await service.Api.GetAsync("/api/apps")).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");

    [Fact]
    public async Task The_first_app_and_key_are_made_once_however_often_the_service_starts()
    {
        for (var start = 0; start < 3; start++) await BootstrapAsync("boot-app", "boot-key");
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM apps WHERE id = 'boot-app'"));
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM api_keys JOIN apps ON no = app_no WHERE apps.id = 'boot-app'"));
        (await service.Client(("appId", "boot-app"), ("apiKey", "boot-key")).GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Processes_that_start_together_make_one_app()
    {
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => BootstrapAsync("together", "boot-key")));
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM apps WHERE id = 'together'"));
        (await service.Client(("appId", "together"), ("apiKey", "boot-key")).GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Another_key_at_a_later_start_is_added_to_the_app()
    {
        await BootstrapAsync("rotated", "old-key");
        await BootstrapAsync("rotated", "new-key");
        foreach (var key in new[] { "old-key", "new-key" }) (await service.Client(("appId", "rotated"), ("apiKey", key)).GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("only-an-app", null)]
    [InlineData(null, "only-a-key")]
    [InlineData("no slug", "key")]
    public async Task A_start_with_half_of_the_first_app_is_refused(string? appId, string? key) =>
        await Assert.ThrowsAsync<Common.StartException>(() => BootstrapAsync(appId, key));

    private async Task BootstrapAsync(string? appId, string? key)
    {
        await using var scope = service.Services.CreateAsyncScope();
        var settings = new ConfigurationBuilder().AddInMemoryCollection([new("Bootstrap:AppId", appId), new("Bootstrap:ApiKey", key)]).Build();
        var bootstrap = new Bootstrap(scope.ServiceProvider.GetRequiredService<CampaignsDb>(), TimeProvider.System, settings, NullLogger<Bootstrap>.Instance);
        await bootstrap.RunAsync(demo: false, CancellationToken.None);
    }

    private Api Client(System.Text.Json.JsonElement key) => service.Client(("appId", "demo"), ("apiKey", key.GetProperty("key").GetString()!));

    private static string[] Members(Answer answer) => [.. answer.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d[..d.IndexOf(':', StringComparison.Ordinal)]).Order()];
}

/// <summary>A service on which <c>Operator__Key</c> is not set.</summary>
public sealed class ServiceWithoutOperator : TestService
{
    protected override Dictionary<string, string> Settings => new() { ["Operator:Key"] = "" };
}

public sealed class ClosedOperatorTests(ServiceWithoutOperator service) : IClassFixture<ServiceWithoutOperator>
{
    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(TestService.OperatorKey)]
    public async Task Without_an_operators_key_nobody_is_the_operator(string? key)
    {
        var api = key is null ? service.Client() : service.Client(("operatorKey", key));
        foreach (var route in Route.AllOf(service).Where(r => r.IsOperators))
        {
            var answer = (await route.CallAsync(api, route.Path(_ => "demo"))).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
            Assert.Contains("Operator__Key", answer.Text, StringComparison.Ordinal);
        }
    }
}
