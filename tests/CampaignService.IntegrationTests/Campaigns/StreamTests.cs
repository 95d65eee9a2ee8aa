using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Campaigns;

public sealed class StreamTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task The_stream_tells_where_the_campaign_stands_at_once_and_each_change_and_ends_with_it()
    {
        var id = await Api.DraftAsync(4_500);
        await Api.DoAsync(id, "send");
        using var response = await Api.Http.GetAsync($"/api/campaigns/{id}/stream", HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());

        var first = await NextAsync(reader);
        Assert.Equal(("sending", 4_500), (first.GetProperty("status").GetString(), first.GetProperty("totals").GetProperty("pending").GetInt32()));
        Assert.Equal(JsonValueKind.Null, first.GetProperty("secondsLeft").ValueKind);
        await service.DeliverOneAsync();
        var second = await NextAsync(reader);
        Assert.Equal((2_000, 2_500), (second.GetProperty("totals").GetProperty("delivered").GetInt32(), second.GetProperty("totals").GetProperty("pending").GetInt32()));
        // 2,000 within the last second or so, 2,500 to go.
        Assert.InRange(second.GetProperty("secondsLeft").GetInt64(), 1, 60);
        await service.DeliverAsync();
        JsonElement last;
        do last = await NextAsync(reader);
        while (last.GetProperty("status").GetString() == "sending");
        Assert.Equal(("completed", 1d), (last.GetProperty("status").GetString(), last.GetProperty("progress").GetDouble()));
        Assert.Equal("", (await reader.ReadToEndAsync()).Trim());
    }

    [Fact]
    public async Task The_stream_of_a_campaign_that_has_ended_says_so_and_ends()
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "cancel");
        var text = (await Api.GetAsync($"/api/campaigns/{id}/stream")).ShouldBe(HttpStatusCode.OK).Text;
        Assert.StartsWith("event: progress\ndata: {", text, StringComparison.Ordinal);
        Assert.EndsWith("}\n\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stream_ends_soon_after_its_key_was_deleted()
    {
        var operate = service.Client(("operatorKey", TestService.OperatorKey));
        var key = (await operate.PostAsync("/api/apps/demo/keys", new { name = "watch", scopes = new[] { "read" } })).ShouldBe(HttpStatusCode.Created).Data;
        var watcher = service.Client(("appId", "demo"), ("apiKey", key.GetProperty("key").GetString()!));
        using var response = await watcher.Http.GetAsync($"/api/campaigns/{await Api.DraftAsync(1)}/stream", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        Assert.Equal("draft", (await NextAsync(reader)).GetProperty("status").GetString());
        (await operate.DeleteAsync($"/api/apps/demo/keys/{key.GetProperty("id").GetString()}")).ShouldBe(HttpStatusCode.NoContent);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await reader.ReadToEndAsync(limit.Token);
    }

    [Fact]
    public void An_app_follows_a_hundred_streams_at_most_on_one_process()
    {
        var seats = new CampaignService.Campaigns.StreamSeats();
        var taken = Enumerable.Range(0, 100).Select(_ => seats.Take(1)).ToList();
        Assert.Equal(429, Assert.Throws<CampaignService.Common.ApiException>(() => seats.Take(1)).Error.Status);
        seats.Take(2).Dispose();
        taken[0].Dispose();
        seats.Take(1).Dispose();
    }

    [Fact]
    public async Task There_is_no_stream_of_a_campaign_that_is_not_there() =>
        (await Api.GetAsync("/api/campaigns/cmp_00000000000000000000/stream")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");

    [Fact]
    public async Task The_estimate_of_the_time_left_stands_in_the_campaign_while_it_is_sending()
    {
        var id = await Api.DraftAsync(4_500);
        await Api.DoAsync(id, "send");
        await service.DeliverOneAsync();
        Assert.InRange((await Api.CampaignAsync(id)).GetProperty("secondsLeft").GetInt64(), 1, 60);
        Assert.Equal(JsonValueKind.Null, (await Api.DoAsync(id, "pause")).GetProperty("secondsLeft").ValueKind);
    }

    private static async Task<JsonElement> NextAsync(StreamReader reader)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        string? line;
        do line = await reader.ReadLineAsync(limit.Token);
        while (line is not null && !line.StartsWith("data: ", StringComparison.Ordinal));
        return JsonDocument.Parse(line!["data: ".Length..]).RootElement;
    }
}
