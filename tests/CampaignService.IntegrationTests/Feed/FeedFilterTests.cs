using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedFilterTests(FeedService service) : IClassFixture<FeedService>
{
    [Fact]
    public async Task Category_channel_and_tags_choose_and_combine_with_all_the_rest()
    {
        var user = service.As("filters");
        var sale = await SendAsync("filters", "offers", ["sale", "spring"], "filter-a");
        var plain = await SendAsync("filters", "offers", ["spring"], "filter-b");
        var other = await SendAsync("filters", null, ["sale"], "filter-a");
        var none = await SendAsync("filters", null, [], "filter-b");

        Assert.Equal([none, other, plain, sale], await CampaignsAsync(user, ""));
        Assert.Equal([plain, sale], await CampaignsAsync(user, "&templateCategory=offers"));
        Assert.Equal([other, sale], await CampaignsAsync(user, "&channelId=filter-a"));
        var channel = (await service.Api.GetAsync("/api/channels/filter-b")).Data.GetProperty("id").GetString();
        Assert.Equal([none, plain], await CampaignsAsync(user, $"&channelId={channel}"));
        Assert.Equal([other, plain, sale], await CampaignsAsync(user, "&tags=sale,spring"));
        Assert.Equal([other, plain, sale], await CampaignsAsync(user, "&tags=sale,%20spring,&tagMatch=any"));
        Assert.Equal([sale], await CampaignsAsync(user, "&tags=sale,spring&tagMatch=all"));
        Assert.Equal([plain], await CampaignsAsync(user, "&templateCategory=offers&channelId=filter-b&tags=spring"));

        var read = (await user.GetAsync($"{FeedService.Feed}?templateCategory=offers")).Data[0].GetProperty("id").GetString();
        (await user.PostAsync($"{FeedService.Feed}/{read}/read")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal([plain], await CampaignsAsync(user, "&templateCategory=offers&readState=read"));
        Assert.Equal([sale], await CampaignsAsync(user, "&templateCategory=offers&readState=unread&dateFrom=0"));
        Assert.Empty(await CampaignsAsync(user, "&templateCategory=offers&dateTo=0"));
    }

    [Theory]
    [InlineData("templateCategory=no-such-category")]
    [InlineData("channelId=no-such-channel")]
    [InlineData("tags=no-such-tag")]
    public async Task What_the_app_does_not_have_has_no_items(string filter)
    {
        await service.GreetAsync("unknown");
        Assert.Equal("""{"data":[],"meta":{"limit":20,"count":0,"next":null}}""", (await service.As("unknown").GetAsync($"{FeedService.Feed}?{filter}")).ShouldBe(HttpStatusCode.OK).Json.GetRawText());
    }

    [Fact]
    public async Task Nothing_of_another_app_chooses()
    {
        var other = await service.NewAppAsync("filtering");
        await service.SendAsync(other, await service.NewTemplateAsync(other, new { t = 1 }, ("theirs", ["theirs"]), 0, null, "their-channel"), new() { ["both"] = [] });
        var mine = await SendAsync("both", "theirs", ["theirs"], "filter-a");
        Assert.Equal([mine], await CampaignsAsync(service.As("both"), "&templateCategory=theirs&tags=theirs"));
        Assert.Empty(await CampaignsAsync(service.As("both"), "&channelId=their-channel"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public async Task Under_a_filter_every_page_before_the_last_is_full_and_every_item_comes_once(int limit)
    {
        var user = service.As($"walk{limit}");
        var (wanted, unwanted) = (await TemplateAsync("wanted", ["x"], "filter-a"), await TemplateAsync("unwanted", [], "filter-b"));
        // 13 of 60, unevenly spread.
        var isWanted = Enumerable.Range(0, 60).Select(i => i % 7 is 0 or 1 && i % 3 != 0).ToArray();
        var (first, second) = (await SeedAsync($"walk{limit}", wanted), await SeedAsync($"walk{limit}", unwanted));
        await FillAsync($"walk{limit}", isWanted.Select(w => w ? first : second).ToArray());
        var all = isWanted.Count(w => w) + 1;

        foreach (var filter in new[] { "templateCategory=wanted", "channelId=filter-a", "tags=x", "tags=x&channelId=filter-a&readState=unread" })
        {
            var (seen, cursor) = (new List<string>(), "");
            do
            {
                var page = (await user.GetAsync($"{FeedService.Feed}?limit={limit}&{filter}{cursor}")).ShouldBe(HttpStatusCode.OK);
                seen.AddRange(page.Data.EnumerateArray().Select(i => i.GetProperty("id").GetString()!));
                cursor = page.Json.GetProperty("meta").GetProperty("next").GetString() is { } next ? $"&cursor={next}" : "";
                Assert.True(cursor.Length == 0 || page.Data.GetArrayLength() == limit, "a page before the last is full");
            }
            while (cursor.Length > 0);
            Assert.Equal(all, seen.Count);
            Assert.Equal(seen.Order(StringComparer.Ordinal).Reverse().Distinct(), seen);
        }
    }

    [Fact]
    public async Task One_request_looks_at_5000_items_at_most_and_the_next_goes_on_from_there()
    {
        var user = service.As("haystack");
        var needle = await SeedAsync("haystack", await TemplateAsync("needle", [], "filter-a"));
        var hay = await SeedAsync("haystack", await TemplateAsync("hay", [], "filter-b"));
        await FillAsync("haystack", [.. Enumerable.Repeat(hay, 12_000)]);
        var (pages, found, cursor) = (0, new List<string>(), "");
        do
        {
            var page = (await user.GetAsync($"{FeedService.Feed}?templateCategory=needle{cursor}")).ShouldBe(HttpStatusCode.OK);
            found.AddRange(page.Data.EnumerateArray().Select(i => i.GetProperty("id").GetString()!));
            cursor = page.Json.GetProperty("meta").GetProperty("next").GetString() is { } next ? $"&cursor={next}" : "";
            pages++;
        }
        while (cursor.Length > 0);
        Assert.Equal((3, 1), (pages, found.Count));
        Assert.Equal(needle, FeedService.NumberOf(found[0]));
    }

    [Fact]
    public async Task A_filter_that_cannot_be_read_is_refused_with_all_the_others()
    {
        var refused = await service.As("u").GetAsync($"{FeedService.Feed}?tagMatch=some&readState=seen&limit=0");
        Assert.Equal(["limit", "readState", "tagMatch"], refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]));
    }

    private Task<string> TemplateAsync(string? category, string[] tags, string channel) =>
        service.NewTemplateAsync(service.Api, new { title = "Hi" }, (category, tags), 0, null, channel);

    private async Task<string> SendAsync(string user, string? category, string[] tags, string channel) =>
        await service.SendAsync(service.Api, await TemplateAsync(category, tags, channel), new() { [user] = [] });

    /// <returns>The number of the item that the user got.</returns>
    private async Task<long> SeedAsync(string user, string template)
    {
        await service.SendAsync(service.Api, template, new() { [user] = [] });
        return FeedService.NumberOf((await FeedService.NewestAsync(service.As(user))).GetProperty("id").GetString()!);
    }

    /// <summary>More items like these, one after the other.</summary>
    private Task<int> FillAsync(string user, long[] like) => service.ScalarAsync<int>("""
        WITH added AS (
          INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars)
          SELECT f.app_no, f.channel_no, (SELECT next_id()) + l.no, f.source_id, f.user_id, f.vars
          FROM unnest($2::bigint[]) WITH ORDINALITY AS l(id, no) JOIN feed_items f ON f.user_id = $1 AND f.id = l.id RETURNING 1)
        SELECT count(*)::integer FROM added
        """, user, like);

    private static async Task<string[]> CampaignsAsync(Api user, string filter) =>
        [.. (await user.GetAsync($"{FeedService.Feed}?limit=100{filter}")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(i => i.GetProperty("campaignId").GetString()!)];
}
