using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedMarksTests(FeedService service) : IClassFixture<FeedService>
{
    [Fact]
    public async Task Reading_an_item_also_delivers_it_and_counts_it_out_of_the_unread()
    {
        for (var i = 0; i < 3; i++) await service.GreetAsync("reader");
        var user = service.As("reader");
        Assert.Equal(3, await FeedService.UnreadAsync(user));
        var id = (await FeedService.ItemsAsync(user))[1];
        var read = (await user.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((id, "read"), (read.GetProperty("id").GetString(), read.GetProperty("status").GetString()));
        Assert.Equal(read.GetProperty("readAt").GetDateTimeOffset(), read.GetProperty("deliveredAt").GetDateTimeOffset());
        Assert.True(read.GetProperty("readAt").GetDateTimeOffset() >= read.GetProperty("sentAt").GetDateTimeOffset());
        Assert.Equal(2, await FeedService.UnreadAsync(user));
        Assert.Equal(read.GetRawText(), (await user.GetAsync($"{FeedService.Feed}/{id}")).Data.GetRawText());
    }

    [Fact]
    public async Task A_delivered_item_is_not_read_yet_and_reading_keeps_when_it_was_delivered()
    {
        await service.GreetAsync("device");
        var user = service.As("device");
        var id = (await FeedService.ItemsAsync(user))[0];
        var delivered = (await user.PostAsync($"{FeedService.Feed}/{id}/delivered")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("delivered", JsonValueKind.Null), (delivered.GetProperty("status").GetString(), delivered.GetProperty("readAt").ValueKind));
        Assert.Equal(1, await FeedService.UnreadAsync(user));
        await service.ScalarAsync<object>("SELECT pg_sleep(0.002)::text");
        var read = (await user.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(delivered.GetProperty("deliveredAt").GetString(), read.GetProperty("deliveredAt").GetString());
        Assert.True(read.GetProperty("readAt").GetDateTimeOffset() > read.GetProperty("deliveredAt").GetDateTimeOffset());
    }

    [Fact]
    public async Task Repeating_a_mark_keeps_the_first_time_and_counts_once()
    {
        var campaign = await service.GreetAsync("again");
        var user = service.As("again");
        var id = (await FeedService.ItemsAsync(user))[0];
        var first = (await user.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldBe(HttpStatusCode.OK).Data;
        foreach (var mark in new[] { "read", "delivered", "read" })
        {
            await service.ScalarAsync<object>("SELECT pg_sleep(0.002)::text");
            Assert.Equal(first.GetRawText(), (await user.PostAsync($"{FeedService.Feed}/{id}/{mark}")).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
        }
        Assert.Equal((1, 1), await ReceiptsAsync(campaign));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("""{"unknown":1}""")]
    public async Task A_mark_needs_no_body(string? body)
    {
        await service.GreetAsync("bodies");
        var user = service.As("bodies");
        var id = (await FeedService.ItemsAsync(user))[0];
        (await user.PostAsync($"{FeedService.Feed}/{id}/delivered", body)).ShouldBe(HttpStatusCode.OK);
        (await user.PostAsync($"{FeedService.Feed}/{id}/read", body)).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_mark_with_a_body_of_another_type_is_taken()
    {
        await service.GreetAsync("form");
        var user = service.As("form");
        using var content = new StringContent("", Encoding.UTF8, "application/x-www-form-urlencoded");
        using var response = await user.Http.PostAsync($"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/read", content);
        (await Answer.OfAsync(response)).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_campaign_shows_what_its_readers_reported()
    {
        var users = Enumerable.Range(0, 9).Select(i => $"report{i}").ToArray();
        var campaign = await service.GreetAsync(users);
        Assert.Equal((0, 0), await ReceiptsAsync(campaign));
        for (var i = 0; i < 6; i++)
        {
            var user = service.As(users[i]);
            (await user.PostAsync($"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/{(i < 4 ? "delivered" : "read")}")).ShouldBe(HttpStatusCode.OK);
        }
        Assert.Equal((6, 2), await ReceiptsAsync(campaign));
    }

    [Fact]
    public async Task Receipts_equal_a_recount_however_many_calls_come_at_once()
    {
        var users = Enumerable.Range(0, 12).Select(i => $"rush{i}").ToArray();
        var campaign = await service.GreetAsync(users);
        var items = new List<(Api User, string Path)>();
        foreach (var user in users)
        {
            var api = service.As(user);
            items.Add((api, $"{FeedService.Feed}/{(await FeedService.ItemsAsync(api))[0]}"));
        }
        // Each item gets 16 calls, read and delivered mixed; every third item is only ever delivered.
        var calls = Enumerable.Range(0, 16).SelectMany(n => items.Select((item, i) => item.User.PostAsync($"{item.Path}/{((n + i) % 2 == 0 && i % 3 != 0 ? "read" : "delivered")}")));
        foreach (var answer in await Task.WhenAll(calls)) answer.ShouldBe(HttpStatusCode.OK);
        Assert.Equal((12, 8), await ReceiptsAsync(campaign));
        await ShouldEqualARecountAsync();
    }

    [Theory]
    [InlineData("delivered_at = clock_timestamp()", "read", 1, 1)]
    [InlineData("delivered_at = clock_timestamp()", "delivered", 1, 0)]
    [InlineData("delivered_at = clock_timestamp(), read_at = clock_timestamp()", "read", 1, 1)]
    [InlineData("delivered_at = clock_timestamp(), read_at = clock_timestamp()", "delivered", 1, 1)]
    public async Task A_mark_that_waited_for_another_counts_only_what_is_left(string other, string mark, int delivered, int read)
    {
        var user = $"waits-{Guid.NewGuid():N}";
        var campaign = await service.GreetAsync(user);
        var api = service.As(user);
        var item = (await FeedService.ItemsAsync(api))[0];

        // Another process marks the item and has not committed yet.
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var change = new NpgsqlCommand($"""
            WITH marked AS (UPDATE feed_items SET {other} WHERE user_id = $1 RETURNING source_id, read_at)
            INSERT INTO feed_receipts (source_id, slot, delivered, read) SELECT source_id, 99, 1, (read_at IS NOT NULL)::integer FROM marked
            """, connection) { Parameters = { new() { Value = user } } };
        await change.ExecuteNonQueryAsync();
        var call = api.PostAsync($"{FeedService.Feed}/{item}/{mark}");
        while (await service.ScalarAsync<long>("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_blocking_pids(pid) @> ARRAY[$1]", connection.ProcessID) == 0)
        {
            Assert.False(call.IsCompleted, "the call did not wait for the other's lock");
        }
        await transaction.CommitAsync();

        (await call).ShouldBe(HttpStatusCode.OK);
        Assert.Equal((delivered, read), await ReceiptsAsync(campaign));
        await ShouldEqualARecountAsync();
        // The other's time was the first.
        Assert.True(await service.ScalarAsync<bool>("SELECT read_at IS NULL OR delivered_at <= read_at FROM feed_items WHERE user_id = $1", user));
    }

    [Fact]
    public async Task One_item_that_many_mark_at_once_counts_once_and_all_see_one_time()
    {
        for (var round = 0; round < 20; round++)
        {
            var campaign = await service.GreetAsync("crowd");
            var user = service.As("crowd");
            var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}";
            var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(n => user.PostAsync($"{path}/{(n % 2 == 0 ? "read" : "delivered")}")));
            Assert.All(answers, a => a.ShouldBe(HttpStatusCode.OK));
            Assert.Single(answers.Select(a => a.Data.GetProperty("deliveredAt").GetString()).Distinct());
            Assert.Single(answers.Select(a => a.Data.GetProperty("readAt").GetString()).OfType<string>().Distinct());
            Assert.Equal((1, 1), await ReceiptsAsync(campaign));
        }
        await ShouldEqualARecountAsync();
    }

    private async Task<(int Delivered, int Read)> ReceiptsAsync(string campaign)
    {
        var receipts = (await service.Api.CampaignAsync(campaign)).GetProperty("receipts");
        Assert.Equal(0, receipts.GetProperty("engaged").GetInt32());
        return (receipts.GetProperty("delivered").GetInt32(), receipts.GetProperty("read").GetInt32());
    }

    private Task ShouldEqualARecountAsync() => service.ReceiptsShouldEqualARecountAsync();
}
