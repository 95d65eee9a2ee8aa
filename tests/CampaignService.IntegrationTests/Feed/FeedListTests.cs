using System.Globalization;
using System.Net;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedListTests(FeedService service) : IClassFixture<FeedService>
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(100)]
    public async Task Page_by_page_every_item_comes_once_newest_first(int limit)
    {
        var user = service.As($"pages{limit}");
        var campaigns = new List<string>();
        for (var i = 0; i < 7; i++) campaigns.Add(await service.GreetAsync($"pages{limit}", "neighbour"));
        var (seen, cursor, pages) = (new List<string>(), "", 0);
        do
        {
            var page = (await user.GetAsync($"{FeedService.Feed}?limit={limit}{cursor}")).ShouldBe(HttpStatusCode.OK).Json;
            var rows = page.GetProperty("data").EnumerateArray().Select(i => i.GetProperty("campaignId").GetString()!).ToArray();
            Assert.Equal((limit, rows.Length), (page.GetProperty("meta").GetProperty("limit").GetInt32(), page.GetProperty("meta").GetProperty("count").GetInt32()));
            seen.AddRange(rows);
            cursor = page.GetProperty("meta").GetProperty("next").GetString() is { } next ? $"&cursor={next}" : "";
            pages++;
        }
        while (cursor.Length > 0);
        campaigns.Reverse();
        Assert.Equal(campaigns, seen);
        Assert.Equal((7 + limit - 1) / limit, pages);
    }

    [Fact]
    public async Task An_item_that_comes_in_between_moves_no_page()
    {
        var user = service.As("between");
        for (var i = 0; i < 3; i++) await service.GreetAsync("between");
        var before = await FeedService.ItemsAsync(user);
        var next = (await user.GetAsync($"{FeedService.Feed}?limit=2")).Json.GetProperty("meta").GetProperty("next").GetString();
        await service.GreetAsync("between");
        Assert.Equal(before[2..], await FeedService.ItemsAsync(user, $"&cursor={next}"));
    }

    [Fact]
    public async Task The_read_state_chooses()
    {
        var user = service.As("states");
        for (var i = 0; i < 3; i++) await service.GreetAsync("states");
        var all = await FeedService.ItemsAsync(user);
        (await user.PostAsync($"{FeedService.Feed}/{all[1]}/read")).ShouldBe(HttpStatusCode.OK);
        (await user.PostAsync($"{FeedService.Feed}/{all[2]}/delivered")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(all, await FeedService.ItemsAsync(user, "&readState=all"));
        Assert.Equal([all[1]], await FeedService.ItemsAsync(user, "&readState=read"));
        Assert.Equal([all[0], all[2]], await FeedService.ItemsAsync(user, "&readState=unread"));
    }

    [Fact]
    public async Task Times_choose_including_both_ends()
    {
        var user = service.As("times");
        for (var i = 0; i < 3; i++)
        {
            await service.GreetAsync("times");
            // The next item gets a later millisecond for sure.
            await service.ScalarAsync<object>("SELECT pg_sleep(0.002)::text");
        }
        var items = (await user.GetAsync(FeedService.Feed)).Data.EnumerateArray().Select(i => (Id: i.GetProperty("id").GetString()!, At: i.GetProperty("sentAt").GetDateTimeOffset())).ToArray();
        var (newest, middle, oldest) = (items[0], items[1], items[2]);
        Assert.Equal([newest.Id, middle.Id], await FeedService.ItemsAsync(user, $"&dateFrom={Rfc(middle.At)}"));
        Assert.Equal([middle.Id, oldest.Id], await FeedService.ItemsAsync(user, $"&dateTo={Rfc(middle.At)}"));
        Assert.Equal([middle.Id], await FeedService.ItemsAsync(user, $"&dateFrom={Rfc(middle.At)}&dateTo={Rfc(middle.At)}"));
        Assert.Equal([newest.Id], await FeedService.ItemsAsync(user, $"&dateFrom={Rfc(middle.At.AddMilliseconds(1))}"));
        Assert.Equal([oldest.Id], await FeedService.ItemsAsync(user, $"&dateTo={Rfc(middle.At.AddMilliseconds(-1))}"));
        Assert.Equal([newest.Id, middle.Id], await FeedService.ItemsAsync(user, $"&dateFrom={Unix(middle.At)}"));
        Assert.Equal([middle.Id], await FeedService.ItemsAsync(user, $"&dateFrom={Uri.EscapeDataString(middle.At.ToOffset(TimeSpan.FromHours(-5)).ToString("yyyy-MM-dd'T'HH:mm:ss.fffzzz", CultureInfo.InvariantCulture))}&dateTo={Unix(middle.At)}"));
    }

    [Fact]
    public async Task Times_that_no_item_can_have_mean_all_or_nothing()
    {
        var user = service.As("eras");
        await service.GreetAsync("eras");
        var all = await FeedService.ItemsAsync(user);
        Assert.Single(all);
        foreach (var early in new[] { "0001-01-01T00:00:00Z", "1970-01-01T00:00:00%2B01:00", "0", "-62135596800" })
        {
            Assert.Equal(all, await FeedService.ItemsAsync(user, $"&dateFrom={early}"));
            Assert.Empty(await FeedService.ItemsAsync(user, $"&dateTo={early}"));
        }
        foreach (var late in new[] { "9999-12-31T23:59:59.999Z", "253402300799", "2100-01-01T00:00:00Z", "2200-01-01T00:00:00Z" })
        {
            Assert.Equal(all, await FeedService.ItemsAsync(user, $"&dateTo={late}"));
            Assert.Empty(await FeedService.ItemsAsync(user, $"&dateFrom={late}"));
        }
    }

    [Fact]
    public async Task Everything_wrong_with_a_query_is_said_at_once()
    {
        var demo = service.Client(("appId", "demo"), ("apiKey", "demo-key"));
        var refused = await demo.GetAsync($"{FeedService.Feed}?limit=101&dateFrom=yesterday&dateTo=2026-03-01T09:00:00&readState=seen");
        refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(["dateFrom", "dateTo", "limit", "onBehalfOf", "readState"], refused.Details.Select(d => d.Split(':')[0]));
        Assert.Contains("RFC 3339", refused.Details[0], StringComparison.Ordinal);
        foreach (var wrong in new[] { "limit=0", "limit=-1", "limit=x", "dateFrom=NaN", "dateFrom=1e30", "dateTo=2026-13-01T00:00:00Z" })
        {
            (await service.As("u").GetAsync($"{FeedService.Feed}?{wrong}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        }
    }

    [Fact]
    public async Task A_cursor_is_good_for_the_feed_it_came_from_only()
    {
        for (var i = 0; i < 2; i++) await service.GreetAsync("cursor1", "cursor2");
        var next = (await service.As("cursor1").GetAsync($"{FeedService.Feed}?limit=1")).Json.GetProperty("meta").GetProperty("next").GetString()!;
        (await service.As("cursor1").GetAsync($"{FeedService.Feed}?cursor={next}")).ShouldBe(HttpStatusCode.OK);
        var other = await service.NewAppAsync("cursors");
        other.Http.DefaultRequestHeaders.Add("onBehalfOf", "cursor1");
        foreach (var (user, cursor) in new[] { (service.As("cursor2"), next), (other, next), (service.As("cursor1"), next[1..]), (service.As("cursor1"), "9"), (service.As("cursor1"), "%C3%A9!"), (service.As("cursor1"), next + "A") })
        {
            var refused = await user.GetAsync($"{FeedService.Feed}?cursor={cursor}");
            Assert.StartsWith("cursor: ", refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details[0], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_feed_without_items_is_an_empty_list()
    {
        var page = (await service.As("nobody").GetAsync(FeedService.Feed)).ShouldBe(HttpStatusCode.OK).Json;
        Assert.Equal("""{"data":[],"meta":{"limit":20,"count":0,"next":null}}""", page.GetRawText());
        Assert.Equal(0, await FeedService.UnreadAsync(service.As("nobody")));
    }

    private static string Rfc(DateTimeOffset time) => time.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    private static string Unix(DateTimeOffset time) => (time.ToUnixTimeMilliseconds() / 1000m).ToString(CultureInfo.InvariantCulture);
}
