using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.External;

/// <summary>Direct notifications by templates that also go to a webhook.</summary>
public sealed class DirectTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync() => await _sink.DisposeAsync();

    [Fact]
    public async Task To_few_it_is_in_their_feeds_when_the_answer_arrives_and_goes_out_ahead_of_campaigns()
    {
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, alsoInApp: true);
        var bulk = await Api.SendToAsync(template, 700);
        var key = Guid.NewGuid().ToString();
        var client = service.Client(("appId", "demo"), ("apiKey", "demo-key"), ("Idempotency-Key", key));
        var body = new { templateId = template, receivers = new[] { "ann", "bob" }, variables = new Dictionary<string, object> { ["ann"] = new { name = "Ann" }, ["bob"] = new { name = "Bob" } } };
        var sent = (await client.PostAsync("/api/notifications/messages", body)).ShouldBe(HttpStatusCode.OK);
        var id = sent.Data.GetProperty("notificationId").GetString()!;
        Assert.Equal(("realtime", 2), (sent.Data.GetProperty("mode").GetString(), sent.Data.GetProperty("channels").GetArrayLength()));
        var item = (await service.As("ann").GetAsync("/api/notification-feed")).Data.EnumerateArray().Single();
        Assert.Equal((id, "Hello Ann"), (item.GetProperty("notificationId").GetString(), item.GetProperty("content").GetProperty("title").GetString()));
        Assert.Empty(_sink.Calls);
        Assert.Equal("true", (await client.PostAsync("/api/notifications/messages", body)).Headers.GetValues("Idempotency-Replayed").Single());

        await service.DeliverAsync();
        // Beside the chunk of the campaign that is taken at the same moment, and before the next.
        Assert.Equal(["ann", "bob"], _sink.Calls.Take(502).SelectMany(c => c.Users).Intersect(["ann", "bob"]).Order());
        Assert.Equal(702, _sink.Calls.Count);
        Assert.Equal(JsonValueKind.Null, _sink.Calls.First(c => c.Users.Single() == "ann").Body.GetProperty("campaign").ValueKind);
        Assert.Equal("completed", await Api.StatusAsync(bulk));
        var notification = (await Api.GetAsync($"/api/notifications/{id}")).Data;
        Assert.Equal(("completed", "realtime", 4, 4), (notification.GetProperty("status").GetString(), notification.GetProperty("mode").GetString(), notification.GetProperty("totals").GetProperty("messages").GetInt32(), notification.GetProperty("totals").GetProperty("delivered").GetInt32()));
        var receivers = (await Api.GetAsync($"/api/notifications/{id}/recipients?channelId={channel}")).Data.EnumerateArray().ToArray();
        Assert.Equal(["ann", "bob"], receivers.Select(r => r.GetProperty("userId").GetString()));
        Assert.All(receivers, r => Assert.Equal("delivered", r.GetProperty("channels").EnumerateArray().Single(c => c.GetProperty("channelId").GetString() == channel).GetProperty("status").GetString()));
    }

    [Fact]
    public async Task To_many_it_is_a_batch_on_both_channels()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, alsoInApp: true);
        var receivers = Enumerable.Range(0, 30).Select(i => $"many{i:00}").ToArray();
        var sent = (await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers, variables = receivers.ToDictionary(r => r, r => new { name = r }) })).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        var totals = (await Api.GetAsync($"/api/notifications/{sent.Data.GetProperty("batchId").GetString()}")).Data.GetProperty("totals");
        Assert.Equal((60, 60), (totals.GetProperty("messages").GetInt32(), totals.GetProperty("delivered").GetInt32()));
        Assert.Equal(receivers, _sink.Taken.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task To_few_by_the_webhook_alone_a_missing_value_is_told_at_once()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        (await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" } })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_INVALID_VARIABLES");
        (await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" }, variables = new { ann = new { name = "Ann" } } })).ShouldBe(HttpStatusCode.OK);
        await service.DeliverAsync();
        Assert.Equal("ann", _sink.Taken.Keys.Single());
    }
}
