using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.External;

/// <summary>A service that may call servers on loopback. What failed is not tried again until a test lets the time pass (<see cref="ExternalSending.PassTimeAsync"/>).</summary>
public class ExternalService : TestService
{
    protected override Dictionary<string, string> Settings => new() { ["Channels:AllowPrivateNetworks"] = "true", ["Channels:FirstRetry"] = "00:01:00" };

    public ExternalWorker Worker => Services.GetRequiredService<ExternalWorker>();
}

/// <summary>What tests of external channels do again and again.</summary>
public static class ExternalSending
{
    /// <summary>A channel to this URL and an approved template on it, or on it and the inbox.</summary>
    public static async Task<(string Template, string Channel)> NewWebhookAsync(this Api api, string url, object? settings = null, bool alsoInApp = false)
    {
        var given = JsonSerializer.SerializeToNode(settings ?? new { })!.AsObject();
        given["url"] = url;
        var channel = (await api.PostAsync("/api/channels", new { name = $"Hook {Guid.NewGuid():N}", type = "webhook", settings = given })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("channelId").GetString()!;
        var content = new { title = "Hello {{name}}" };
        if (alsoInApp) await api.NewTemplateAsync();
        var template = (await api.PostAsync("/api/templates", new
        {
            name = "Out",
            status = "approved",
            variableSchema = new[] { new { key = "name", required = true } },
            channels = alsoInApp ? new object[] { new { channelType = "webhook", channelId = channel, content }, new { channelType = "in_app", channelId = Api.Inbox, content } } : [new { channelType = "webhook", channelId = channel, content }],
        })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("templateId").GetString()!;
        return (template, channel);
    }

    /// <summary>A draft to u0000, u0001 and so on, of whom the first few lack the required name.</summary>
    public static async Task<string> DraftToAsync(this Api api, string template, int recipients, int missing = 0)
    {
        var id = await api.NewCampaignAsync(template);
        var csv = new StringBuilder("user_id,name\n");
        for (var i = 0; i < recipients; i++) csv.Append(System.Globalization.CultureInfo.InvariantCulture, $"u{i:0000},{(i < missing ? "" : $"Name {i}")}\n");
        (await api.UploadAsync(id, csv.ToString())).ShouldBe(HttpStatusCode.OK);
        return id;
    }

    /// <summary>The same, sent.</summary>
    public static async Task<string> SendToAsync(this Api api, string template, int recipients, int missing = 0)
    {
        var id = await api.DraftToAsync(template, recipients, missing);
        await api.DoAsync(id, "send");
        return id;
    }

    /// <summary>How many have which status, by the list; checked against the totals and the reasons.</summary>
    public static async Task<Dictionary<string, int>> CountsAsync(this Api api, string id)
    {
        var counted = new Dictionary<string, int> { ["pending"] = 0, ["delivered"] = 0, ["failed"] = 0, ["skipped"] = 0, ["uncertain"] = 0 };
        foreach (var message in await api.MessagesAsync(id)) counted[message.GetProperty("status").GetString()!]++;
        var totals = (await api.CampaignAsync(id)).GetProperty("totals");
        Assert.Equal(counted.OrderBy(c => c.Key), counted.Keys.ToDictionary(k => k, k => totals.GetProperty(k).GetInt32()).OrderBy(c => c.Key));
        var reasons = (await api.GetAsync($"/api/campaigns/{id}/recipients/summary")).Data.GetProperty("reasons").EnumerateArray()
            .GroupBy(r => r.GetProperty("status").GetString()!).ToDictionary(g => g.Key, g => g.Sum(r => r.GetProperty("count").GetInt32()));
        foreach (var status in new[] { "failed", "skipped", "uncertain" }) Assert.Equal(counted[status], reasons.GetValueOrDefault(status));
        return counted;
    }

    /// <summary>All messages of a campaign, by its list.</summary>
    public static async Task<List<JsonElement>> MessagesAsync(this Api api, string id)
    {
        var messages = new List<JsonElement>();
        for (string? cursor = null; ;)
        {
            var page = (await api.GetAsync($"/api/campaigns/{id}/recipients?limit=1000{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
            messages.AddRange(page.Data.EnumerateArray().SelectMany(p => p.GetProperty("channels").EnumerateArray()));
            cursor = page.Json.GetProperty("meta").GetProperty("next").GetString();
            if (cursor is null) return messages;
        }
    }

    public static async Task<JsonElement> MessageAsync(this Api api, string id, string user) => (await api.GetAsync($"/api/campaigns/{id}/recipients/{user}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("channels")[0];

    /// <summary>Lets the time be over at which a campaign is to stop.</summary>
    public static async Task PassStopAtAsync(this TestService service, string id)
    {
        const string past = "SET stop_at = stop_at - interval '1 day' WHERE stop_at IS NOT NULL";
        await service.ExecuteAsync($"UPDATE campaigns {past} AND id = $1", id);
        await service.ExecuteAsync($"UPDATE batches {past} AND id = $1", await service.BatchOfAsync(id));
    }

    /// <summary>Lets everything that waits for a later attempt be due.</summary>
    public static async Task PassTimeAsync(this TestService service)
    {
        await service.ExecuteAsync("UPDATE recipient_exceptions SET next_attempt_at = clock_timestamp() - interval '1 second' WHERE next_attempt_at IS NOT NULL");
        await service.ExecuteAsync("UPDATE chunks SET retry_at = clock_timestamp() - interval '1 second' WHERE state = 5");
        await service.ExecuteAsync("UPDATE channel_circuits SET next_probe_at = clock_timestamp() - interval '1 second'");
    }
}
