using System.Globalization;
using System.Net;
using System.Text;
using CampaignService.Delivery;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Support;

/// <summary>What tests of sending do again and again.</summary>
public static class Campaigning
{
    /// <summary>A draft to u000000, u000001 and so on, of whom the first few lack the required name.</summary>
    public static async Task<string> DraftAsync(this Api api, int recipients, int missing = 0)
    {
        var id = await api.NewCampaignAsync();
        var csv = new StringBuilder("user_id,name,city\n");
        for (var i = 0; i < recipients; i++) csv.Append(CultureInfo.InvariantCulture, $"u{i:000000},{(i < missing ? "" : $"Name {i}")},Town {i}\n");
        (await api.UploadAsync(id, csv.ToString())).ShouldBe(HttpStatusCode.OK);
        return id;
    }

    /// <summary>The same, sent.</summary>
    public static async Task<string> SendingAsync(this Api api, int recipients, int missing = 0)
    {
        var id = await api.DraftAsync(recipients, missing);
        await api.DoAsync(id, "send");
        return id;
    }

    /// <summary>An approved template on two channels of its own.</summary>
    public static async Task<(string TemplateId, string Off, string On)> NewTwoChannelTemplateAsync(this Api api)
    {
        var off = (await api.PostAsync("/api/channels", new { name = $"Off {Guid.NewGuid():N}", type = "in_app" })).Data.GetProperty("channelId").GetString()!;
        var on = (await api.PostAsync("/api/channels", new { name = $"On {Guid.NewGuid():N}", type = "in_app" })).Data.GetProperty("channelId").GetString()!;
        var template = await api.PostAsync("/api/templates", new
        {
            name = "Two channels",
            status = "approved",
            channels = new[] { new { channelType = "in_app", channelId = off, content = new { t = "a" } }, new { channelType = "in_app", channelId = on, content = new { t = "b" } } },
        });
        return (template.ShouldBe(HttpStatusCode.Created).Data.GetProperty("templateId").GetString()!, off, on);
    }

    /// <summary>Calls a verb and gives the campaign as it answers.</summary>
    public static async Task<System.Text.Json.JsonElement> DoAsync(this Api api, string id, string verb, object? body = null)
    {
        var answer = await api.PostAsync($"/api/campaigns/{id}/{verb}", body);
        Assert.True((int)answer.Status is 200 or 202, $"{verb}: {answer.Text}");
        return answer.Data;
    }

    public static async Task<string> StatusAsync(this Api api, string id) => (await api.CampaignAsync(id)).GetProperty("status").GetString()!;

    public static async Task<string?> ReasonAsync(this Api api, string id) =>
        (await api.CampaignAsync(id)).GetProperty("statusReason") is { ValueKind: System.Text.Json.JsonValueKind.Object } reason ? reason.GetProperty("code").GetString() : null;

    public static Task<long> BatchOfAsync(this TestService service, string id) => service.ScalarAsync<long>("SELECT batch_id FROM campaigns WHERE id = $1", id);

    /// <summary>Claims the next chunk, as a worker that then dies, or comes late.</summary>
    public static async Task<ChunkClaim?> ClaimAsync(this TestService service)
    {
        // However long the test before took: without a fresh pulse nothing is handed out.
        await service.Services.GetRequiredService<DeliveryPulse>().BeatAsync(CancellationToken.None);
        return await service.Services.GetRequiredService<ChunkQueue>().ClaimAsync(-1, CancellationToken.None);
    }

    /// <summary>The same, and if it is under suspicion counts this start, as a worker does that is alone.</summary>
    public static async Task<ChunkClaim?> ClaimAndBeginAsync(this TestService service)
    {
        var chunk = await service.ClaimAsync();
        if (chunk?.IsSuspect == true) await service.Services.GetRequiredService<ChunkQueue>().BeginAloneAsync(chunk, CancellationToken.None);
        return chunk;
    }

    public static Task<ChunkResult> ProcessAsync(this TestService service, ChunkClaim chunk, bool claimNext = false) =>
        service.Services.GetRequiredService<ChunkProcessor>().ProcessAsync(chunk, claimNext, CancellationToken.None);

    /// <summary>Delivers one chunk and no more.</summary>
    public static async Task DeliverOneAsync(this TestService service) => Assert.True((await service.ProcessAsync((await service.ClaimAsync())!)).Closed);

    /// <summary>Lets the leases of whoever holds chunks run out, and has them taken over.</summary>
    public static async Task ExpireLeasesAsync(this TestService service)
    {
        await service.ScalarAsync<int>("WITH expired AS (UPDATE chunks SET lease_until = clock_timestamp() - interval '1 second' WHERE state = 2 RETURNING 1) SELECT count(*)::int FROM expired");
        await service.Services.GetRequiredService<LeaseRescuer>().RescueAsync(CancellationToken.None);
    }

    /// <summary>
    /// The ledger of a campaign against what is in the feeds: totals are the recount of the list by status, everybody delivered has exactly one
    /// item, and nobody else has one.
    /// </summary>
    public static async Task ShouldBalanceAsync(this TestService service, string id)
    {
        var totals = (await service.Api.CampaignAsync(id)).GetProperty("totals");
        var counted = new Dictionary<string, long> { ["pending"] = 0, ["delivered"] = 0, ["failed"] = 0, ["skipped"] = 0, ["uncertain"] = 0 };
        var delivered = new HashSet<string>();
        for (string? cursor = null; ;)
        {
            var page = (await service.Api.GetAsync($"/api/campaigns/{id}/recipients?limit=1000{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
            foreach (var person in page.Data.EnumerateArray())
            {
                var status = person.GetProperty("status").GetString()!;
                counted[status]++;
                var userId = person.GetProperty("userId").GetString()!;
                // An erased person's messages stay as they were, but their feed is gone.
                if (status == "delivered" && userId[0] != ' ') delivered.Add(userId);
            }
            cursor = page.Json.GetProperty("meta").GetProperty("next").GetString();
            if (cursor is null) break;
        }
        Assert.Equal(counted, counted.Keys.ToDictionary(k => k, k => totals.GetProperty(k).GetInt64()));
        Assert.Equal(totals.GetProperty("messages").GetInt64(), counted.Values.Sum());

        var reasons = (await service.Api.GetAsync($"/api/campaigns/{id}/recipients/summary")).Data.GetProperty("reasons").EnumerateArray()
            .GroupBy(r => r.GetProperty("status").GetString()!).ToDictionary(g => g.Key, g => g.Sum(r => r.GetProperty("count").GetInt64()));
        foreach (var status in new[] { "failed", "skipped", "uncertain" }) Assert.Equal(counted[status], reasons.GetValueOrDefault(status));

        await using var feed = service.Db.CreateCommand("SELECT user_id FROM feed_items WHERE source_id = $1");
        feed.Parameters.Add(new() { Value = await service.BatchOfAsync(id) });
        var inFeeds = new List<string>();
        await using var reader = await feed.ExecuteReaderAsync();
        while (await reader.ReadAsync()) inFeeds.Add(reader.GetString(0));
        Assert.Equal(delivered.Order(StringComparer.Ordinal), inFeeds.Order(StringComparer.Ordinal));
    }
}
