using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using CampaignService.Webhooks;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>A service whose webhooks may go to this machine. No loop runs: a test that wants deliveries calls <see cref="Webhooking.DispatchAsync"/>.</summary>
public sealed class WebhookService : TestService
{
    protected override Dictionary<string, string> Settings => new() { ["Webhooks:AllowPrivateNetworks"] = "true" };
}

/// <summary>What tests of events and webhooks do again and again.</summary>
public static class Webhooking
{
    public static Task<int> SequenceAsync(this TestService service) => service.Services.GetRequiredService<EventSequencer>().SequenceAsync(CancellationToken.None);

    /// <summary>Numbers what happened and makes all deliveries that are due, as workers would; afterwards what came of them is written down.</summary>
    public static async Task DispatchAsync(this TestService service)
    {
        await service.SequenceAsync();
        var dispatcher = service.Services.GetRequiredService<WebhookDispatcher>();
        while (await dispatcher.TurnAsync(CancellationToken.None) > 0) await dispatcher.SettleAsync(CancellationToken.None);
        // An endpoint that was disabled makes an event.
        if (await service.SequenceAsync() > 0) await service.DispatchAsync();
    }

    /// <summary>Lets the time come for which what failed of this webhook waits; others are those of other tests, which nobody answers any more.</summary>
    public static Task MakeDueAsync(this TestService service, JsonElement webhook) =>
        service.ExecuteAsync("UPDATE webhook_deliveries SET due_at = clock_timestamp() WHERE webhook_no = (SELECT no FROM webhooks WHERE id = $1)", webhook.Id());

    public static async Task<JsonElement> NewWebhookAsync(this Api api, string url, params string[] events) =>
        (await api.PostAsync("/api/webhooks", new { url, events })).ShouldBe(HttpStatusCode.Created).Data;

    public static string Id(this JsonElement webhook) => webhook.GetProperty("id").GetString()!;

    public static string Secret(this JsonElement webhook) => webhook.GetProperty("secret").GetString()!;

    public static async Task<JsonElement[]> AttemptsAsync(this Api api, string id) => [.. (await api.GetAsync($"/api/webhooks/{id}/attempts?limit=100")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray()];

    /// <summary>The whole log behind a cursor.</summary>
    public static async Task<List<JsonElement>> EventsAsync(this Api api, string? after = null)
    {
        var all = new List<JsonElement>();
        while (true)
        {
            var page = (await api.GetAsync($"/api/events?limit=100{(after is null ? "" : $"&after={after}")}")).ShouldBe(HttpStatusCode.OK);
            all.AddRange(page.Data.EnumerateArray());
            if (page.Json.GetProperty("meta").GetProperty("next").GetString() is not { } next) return all;
            after = next;
        }
    }

    public static string[] Types(this IEnumerable<JsonElement> events) => [.. events.Select(e => e.GetProperty("type").GetString()!)];

    /// <summary>Makes something happen that an app with webhooks hears of: a draft is cancelled.</summary>
    public static async Task<string> HappenAsync(this Api api)
    {
        var id = await api.NewCampaignAsync(variables: new { name = "all" });
        await api.DoAsync(id, "cancel");
        return id;
    }
}
