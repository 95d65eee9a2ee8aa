using System.Net;
using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.IntegrationTests.Support;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Feed;

/// <summary>The service with short ways to get messages into feeds.</summary>
public sealed class FeedService : TestService
{
    public const string Feed = "/api/notification-feed";

    /// <summary>A template with this content on each of the channels; without any, on the channel "inbox".</summary>
    /// <returns>Its slug.</returns>
    public Task<string> NewTemplateAsync(Api api, object content, Variable[]? variables = null, params string[] channels) =>
        NewTemplateAsync(api, content, ("news", ["spring", "sale"]), 0, variables, channels);

    /// <summary>The same with a category and tags, and an end for its messages.</summary>
    public async Task<string> NewTemplateAsync(
        Api api, object content, (string? Category, string[] Tags) about, int retentionHours = 0, Variable[]? variables = null, params string[] channels)
    {
        var all = new List<ChannelContent>();
        foreach (var channelId in channels.Length == 0 ? ["inbox"] : channels)
        {
            var no = await ChannelNoAsync(api, channelId);
            all.Add(new ChannelContent(no, channelId, ChannelType.InApp, JsonSerializer.SerializeToElement(content), null, retentionHours));
        }
        var slug = $"t-{Guid.NewGuid():N}";
        await using var scope = Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var appNo = await db.Channels.Where(c => c.No == all[0].ChannelNo).Select(c => c.AppNo).SingleAsync();
        var now = Services.GetRequiredService<TimeProvider>().GetUtcNow();
        var metadata = new TemplateMetadata("Greeting", about.Category, "Hello", null, about.Tags);
        await EnsureCategoryAsync(db, appNo, about.Category);
        var template = Template.Create(appNo, slug, metadata, new TemplateContent(variables ?? [new Variable("name")], all), now);
        template.Approve(now);
        db.Add(template);
        await db.SaveChangesAsync();
        return slug;
    }

    /// <summary>Does something to a stored template.</summary>
    public async Task ChangeTemplateAsync(string slug, Action<Template, DateTimeOffset> change)
    {
        await using var scope = Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var template = await db.Templates.Include(t => t.Versions).SingleAsync(t => t.TemplateId == slug);
        change(template, Services.GetRequiredService<TimeProvider>().GetUtcNow());
        await EnsureCategoryAsync(db, template.AppNo, template.Category);
        await db.SaveChangesAsync();
    }

    /// <summary>Sends a campaign to users, each with values of their own, and delivers it.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> SendAsync(Api api, string template, Dictionary<string, Dictionary<string, string>> recipients, object? variables = null)
    {
        var id = await api.NewCampaignAsync(template, variables);
        (await api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = recipients.Keys, userVariables = recipients })).ShouldBe(HttpStatusCode.Created);
        (await api.PostAsync($"/api/campaigns/{id}/send")).ShouldBe(HttpStatusCode.Accepted);
        await DeliverAsync();
        Assert.Equal("completed", (await api.CampaignAsync(id)).GetProperty("status").GetString());
        return id;
    }

    /// <summary>Sends a greeting to these users of the app "demo".</summary>
    /// <returns>The id of the campaign.</returns>
    public async Task<string> GreetAsync(params string[] users) =>
        await SendAsync(Api, await NewTemplateAsync(Api, new { title = "Hi {{name}}" }), users.ToDictionary(u => u, _ => new Dictionary<string, string>()));

    /// <summary>The ids of a user's items, newest first, read in one page.</summary>
    public static async Task<string[]> ItemsAsync(Api user, string query = "") =>
        [.. (await user.GetAsync($"{Feed}?limit=100{query}")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(i => i.GetProperty("id").GetString()!)];

    /// <summary>The newest item of a user.</summary>
    public static async Task<JsonElement> NewestAsync(Api user) => (await user.GetAsync($"{Feed}?limit=1")).ShouldBe(HttpStatusCode.OK).Data[0];

    public static async Task<long> UnreadAsync(Api user) =>
        (await user.GetAsync($"{Feed}/unread-count")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("count").GetInt64();

    /// <summary>The number behind a feed item's id.</summary>
    public static long NumberOf(string itemId) => Ids.TryNumber(Ids.FeedItem, itemId, out var number) ? number : throw new ArgumentException(itemId);

    /// <summary>For every source, not only those of one test.</summary>
    public async Task ReceiptsShouldEqualARecountAsync() => Assert.Equal(0, await ScalarAsync<long>("""
        SELECT count(*) FROM
          (SELECT source_id, count(delivered_at) AS delivered, count(read_at) AS read, count(engaged_at) AS engaged FROM feed_items GROUP BY source_id) AS i
          FULL JOIN (SELECT source_id, sum(delivered) AS delivered, sum(read) AS read, sum(engaged) AS engaged FROM feed_receipts GROUP BY source_id) AS r USING (source_id)
        WHERE coalesce(i.delivered, 0) <> coalesce(r.delivered, 0) OR coalesce(i.read, 0) <> coalesce(r.read, 0) OR coalesce(i.engaged, 0) <> coalesce(r.engaged, 0)
        """));

    private async Task EnsureCategoryAsync(CampaignsDb db, int appNo, string? name)
    {
        if (name is null || await db.Categories.AnyAsync(c => c.AppNo == appNo && c.Name == name)) return;
        db.Add(Category.Create(appNo, Guid.NewGuid().ToString("N"), name, null, Services.GetRequiredService<TimeProvider>().GetUtcNow()));
    }

    private async Task<int> ChannelNoAsync(Api api, string channelId)
    {
        var found = await api.GetAsync($"/api/channels/{channelId}");
        if (found.Status == HttpStatusCode.NotFound)
        {
            found = (await api.PostAsync("/api/channels", new { name = channelId, type = "in_app", channelId })).ShouldBe(HttpStatusCode.Created);
        }
        return await ScalarAsync<int>("SELECT no FROM channels WHERE id = $1", found.Data.GetProperty("id").GetString()!);
    }
}
