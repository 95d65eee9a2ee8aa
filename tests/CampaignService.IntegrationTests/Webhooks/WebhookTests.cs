using System.Net;
using CampaignService.Common;
using CampaignService.IntegrationTests.Support;
using CampaignService.Webhooks;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>Making and changing webhooks, with the settings that a service has by itself.</summary>
public sealed class WebhookTests(TestService service) : IClassFixture<TestService>
{
    private const string Url = "https://example.com/hook";

    private Api Api => service.Api;

    [Fact]
    public async Task A_secret_is_made_shown_once_and_stored_sealed()
    {
        var made = await Api.NewWebhookAsync(Url, "campaign.*");
        Assert.True(WebhookSecret.IsValid(made.Secret()));
        Assert.StartsWith("whk_", made.Id(), StringComparison.Ordinal);
        Assert.True(made.GetProperty("enabled").GetBoolean());
        foreach (var answer in new[] { await Api.GetAsync($"/api/webhooks/{made.Id()}"), await Api.GetAsync("/api/webhooks"), await Api.PutAsync($"/api/webhooks/{made.Id()}", new { events = new[] { "*" } }) })
        {
            Assert.DoesNotContain("whsec_", answer.ShouldBe(HttpStatusCode.OK).Text, StringComparison.Ordinal);
            Assert.DoesNotContain("\"secret\"", answer.Text, StringComparison.Ordinal);
        }
        var stored = await service.ScalarAsync<byte[]>("SELECT secret FROM webhooks WHERE id = $1", made.Id());
        Assert.DoesNotContain(made.Secret()[6..], System.Text.Encoding.Latin1.GetString(stored), StringComparison.Ordinal);
        Assert.DoesNotContain(made.Secret()[6..], Convert.ToBase64String(stored), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_of_ones_own_is_taken()
    {
        var secret = WebhookSecret.Make();
        var made = await Api.PostAsync("/api/webhooks", new { url = Url, events = new[] { "*" }, secret, enabled = false });
        Assert.Equal((secret, false), (made.ShouldBe(HttpStatusCode.Created).Data.Secret(), made.Data.GetProperty("enabled").GetBoolean()));
    }

    [Fact]
    public async Task Every_fault_is_told_at_once()
    {
        var refused = (await Api.PostAsync("/api/webhooks", new { url = "ftp://x", events = new[] { "campaign.exploded" }, secret = "whsec_short" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(["events", "secret", "url"], refused.Details.Select(d => d.Split(':')[0]).Order(StringComparer.Ordinal));
        (await Api.PostAsync("/api/webhooks", new { url = Url, events = Array.Empty<string>() })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.PostAsync("/api/webhooks", new { })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Theory]
    [InlineData("http://127.0.0.1:1/")]
    [InlineData("http://localhost/")]
    [InlineData("http://[::1]/")]
    [InlineData("http://10.1.2.3/")]
    [InlineData("http://192.168.1.1/")]
    [InlineData("http://169.254.169.254/latest/meta-data")]
    [InlineData("http://[::ffff:169.254.169.254]/")]
    [InlineData("https://user:secret@example.com/")]
    public async Task What_leads_into_this_machine_or_its_network_is_refused(string url)
    {
        var refused = (await Api.PostAsync("/api/webhooks", new { url, events = new[] { "*" } })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.StartsWith("url: ", Assert.Single(refused.Details), StringComparison.Ordinal);
        var made = await Api.NewWebhookAsync(Url, "*");
        (await Api.PutAsync($"/api/webhooks/{made.Id()}", new { url })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        await Api.DeleteAsync($"/api/webhooks/{made.Id()}");
    }

    /// <summary>As when its name has come to lead there since it was saved.</summary>
    [Fact]
    public async Task What_leads_there_later_is_refused_at_the_connection()
    {
        await using var inside = await Receiver.StartAsync();
        var api = await service.NewAppAsync($"w-{Guid.NewGuid():N}");
        var made = await api.NewWebhookAsync(Url, "campaign.*");
        await service.ExecuteAsync("UPDATE webhooks SET url = $2 WHERE id = $1", made.Id(), inside.Url());
        await api.HappenAsync();
        await service.DispatchAsync();
        var attempt = Assert.Single(await api.AttemptsAsync(made.Id()));
        Assert.Contains("no public address", attempt.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.False((await api.PostAsync($"/api/webhooks/{made.Id()}/test")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("succeeded").GetBoolean());
        Assert.Empty(inside.Received);
    }

    [Fact]
    public async Task It_is_listed_changed_and_deleted()
    {
        var api = await service.NewAppAsync($"w-{Guid.NewGuid():N}");
        var (first, second) = (await api.NewWebhookAsync(Url, "*"), await api.NewWebhookAsync(Url, "feed_item.*", "campaign.completed", "campaign.completed"));
        Assert.Equal([second.Id(), first.Id()], (await api.GetAsync("/api/webhooks")).Data.EnumerateArray().Select(w => w.Id()));
        Assert.Equal(["feed_item.*", "campaign.completed"], second.GetProperty("events").EnumerateArray().Select(e => e.GetString()));
        var changed = (await api.PutAsync($"/api/webhooks/{first.Id()}", new { enabled = false, url = "https://example.org/" })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((false, "https://example.org/", "*"), (changed.GetProperty("enabled").GetBoolean(), changed.GetProperty("url").GetString(), changed.GetProperty("events")[0].GetString()));
        (await api.DeleteAsync($"/api/webhooks/{first.Id()}")).ShouldBe(HttpStatusCode.NoContent);
        (await api.GetAsync($"/api/webhooks/{first.Id()}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await api.PostAsync($"/api/webhooks/{first.Id()}/replay", new { from = 0, to = 1 })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task An_app_has_fifty_at_most()
    {
        var api = await service.NewAppAsync($"w-{Guid.NewGuid():N}");
        for (var i = 0; i < 50; i++) await api.NewWebhookAsync(Url, "*");
        (await api.PostAsync("/api/webhooks", new { url = Url, events = new[] { "*" } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
    }

    [Fact]
    public async Task Only_a_full_key_makes_them_and_one_that_may_read_reads_them()
    {
        var app = $"w-{Guid.NewGuid():N}";
        var full = await service.NewAppAsync(app);
        var made = await full.NewWebhookAsync(Url, "*");
        foreach (var scope in new[] { "send", "read", "feed" })
        {
            var api = await service.NewAppAsync(app, scope);
            foreach (var path in new[] { "", $"/{made.Id()}/replay", $"/{made.Id()}/rotate-secret", $"/{made.Id()}/test" })
                (await api.PostAsync($"/api/webhooks{path}", new { url = Url, events = new[] { "*" } })).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
            (await api.DeleteAsync($"/api/webhooks/{made.Id()}")).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
            foreach (var path in new[] { "/api/events", "/api/webhooks", $"/api/webhooks/{made.Id()}/attempts" }) (await api.GetAsync(path)).ShouldBe(scope == "read" ? HttpStatusCode.OK : HttpStatusCode.Forbidden);
        }
    }

    [Fact]
    public async Task An_event_of_an_app_without_webhooks_makes_no_delivery()
    {
        var api = await service.NewAppAsync($"w-{Guid.NewGuid():N}");
        await api.HappenAsync();
        await service.SequenceAsync();
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM webhook_deliveries d JOIN apps a ON a.no = d.app_no WHERE a.id = $1", api.Http.DefaultRequestHeaders.GetValues("appId").Single()));
    }

    [Fact]
    public async Task A_name_that_leads_elsewhere_after_it_was_checked_leads_nowhere()
    {
        await using var inside = await Receiver.StartAsync();
        var asked = 0;
        using var http = OutboundHttp.Create(allowPrivate: false, 1, TimeSpan.FromSeconds(5), (_, _) => Task.FromResult(asked++ == 0 ? [IPAddress.Parse("192.0.43.8")] : new[] { IPAddress.Loopback }));
        // The first answer would have passed the check when the webhook was saved; this is what the connection gets.
        asked = 1;
        using var request = new HttpRequestMessage(HttpMethod.Post, new UriBuilder(inside.Url()) { Host = "rebind.example" }.Uri);
        var refused = await Assert.ThrowsAsync<HttpRequestException>(() => http.SendAsync(request, CancellationToken.None));
        Assert.IsType<AddressRefusedException>(refused.InnerException);
        Assert.Empty(inside.Received);
    }

    [Fact]
    public async Task Where_private_networks_are_allowed_the_address_that_was_checked_is_called_and_a_link_local_one_is_passed_over()
    {
        await using var inside = await Receiver.StartAsync();
        using var http = OutboundHttp.Create(allowPrivate: true, 1, TimeSpan.FromSeconds(5), (_, _) => Task.FromResult(new[] { IPAddress.Parse("169.254.169.254"), IPAddress.Loopback }));
        using var request = new HttpRequestMessage(HttpMethod.Post, new UriBuilder(inside.Url()) { Host = "two.example" }.Uri);
        using var answer = await http.SendAsync(request, CancellationToken.None);
        Assert.Equal(HttpStatusCode.NoContent, answer.StatusCode);
        Assert.Single(inside.Received);
    }
}
