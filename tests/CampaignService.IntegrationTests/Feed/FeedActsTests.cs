using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Feed;

/// <summary>What a user does with a feed beside reading it: engaging with an item, reading all, deleting.</summary>
public sealed class FeedActsTests(FeedService service) : IClassFixture<FeedService>
{
    [Fact]
    public async Task The_first_engagement_is_kept_and_changes_neither_status_nor_the_other_receipts()
    {
        var campaign = await service.GreetAsync("engages");
        var user = service.As("engages");
        var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}";
        var first = (await user.PostAsync($"{path}/engagement", new { topic = " clicked " })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("sent", JsonValueKind.Null), (first.GetProperty("status").GetString(), first.GetProperty("readAt").ValueKind));
        Assert.True(first.GetProperty("engagedAt").GetDateTimeOffset() >= first.GetProperty("sentAt").GetDateTimeOffset());
        foreach (var topic in new[] { "clicked", "shared", "clicked" })
        {
            await service.ScalarAsync<object>("SELECT pg_sleep(0.002)::text");
            Assert.Equal(first.GetRawText(), (await user.PostAsync($"{path}/engagement", new { topic })).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
        }
        Assert.Equal((0, 0, 1), await ReceiptsAsync(campaign));
        Assert.Equal([("clicked", 1L), ("shared", 1L)], await TopicsAsync(campaign));
        (await user.PostAsync($"{path}/read")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal((1, 1, 1), await ReceiptsAsync(campaign));
    }

    [Fact]
    public async Task Engagements_that_come_at_once_count_each_item_once_and_each_topic_of_it_once()
    {
        var users = Enumerable.Range(0, 8).Select(i => $"engage-rush{i}").ToArray();
        var campaign = await service.GreetAsync(users);
        var calls = new List<Task<Answer>>();
        foreach (var user in users)
        {
            var api = service.As(user);
            var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(api))[0]}";
            calls.AddRange(Enumerable.Range(0, 12).Select(n => n % 4 == 3 ? api.PostAsync($"{path}/read") : api.PostAsync($"{path}/engagement", new { topic = $"t{n % 3}" })));
        }
        foreach (var answer in await Task.WhenAll(calls)) answer.ShouldBe(HttpStatusCode.OK);
        Assert.Equal((8, 8, 8), await ReceiptsAsync(campaign));
        Assert.Equal([("t0", 8L), ("t1", 8L), ("t2", 8L)], await TopicsAsync(campaign));
        await service.ReceiptsShouldEqualARecountAsync();
    }

    [Fact]
    public async Task An_item_keeps_its_first_fifty_topics()
    {
        var campaign = await service.GreetAsync("chatty");
        var user = service.As("chatty");
        var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/engagement";
        for (var i = 0; i < 53; i++) (await user.PostAsync(path, new { topic = $"topic {i}" })).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(50, (await TopicsAsync(campaign)).Length);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("")]
    [InlineData("""{"topic":null}""")]
    [InlineData("""{"topic":""}""")]
    [InlineData("""{"topic":"   "}""")]
    [InlineData("""{"topic":7}""")]
    public async Task A_topic_must_be_given(string body)
    {
        await service.GreetAsync("topicless");
        var user = service.As("topicless");
        var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/engagement";
        (await user.PostAsync(path, body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task A_topic_has_a_hundred_characters_at_most_as_people_count_them()
    {
        await service.GreetAsync("long");
        var user = service.As("long");
        var path = $"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/engagement";
        (await user.PostAsync(path, new { topic = string.Concat(Enumerable.Repeat("🎉", 100)) })).ShouldBe(HttpStatusCode.OK);
        Assert.StartsWith("topic: ", Assert.Single((await user.PostAsync(path, new { topic = new string('a', 101) })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
        (await user.PostAsync(path, new { topic = "a\0b" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task Read_all_reads_what_is_there_and_not_what_comes_later()
    {
        var campaigns = new List<string>();
        for (var i = 0; i < 3; i++) campaigns.Add(await service.GreetAsync("reads-all", "reads-none"));
        var user = service.As("reads-all");
        var items = await FeedService.ItemsAsync(user);
        var read = (await user.PostAsync($"{FeedService.Feed}/{items[1]}/read")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(2, (await user.PostAsync($"{FeedService.Feed}/read-all")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("count").GetInt64());
        Assert.Equal(0, await FeedService.UnreadAsync(user));
        Assert.Equal(3, await FeedService.UnreadAsync(service.As("reads-none")));
        Assert.Equal(read.GetRawText(), (await user.GetAsync($"{FeedService.Feed}/{items[1]}")).Data.GetRawText());
        foreach (var campaign in campaigns) Assert.Equal((1, 1, 0), await ReceiptsAsync(campaign));

        await service.GreetAsync("reads-all");
        Assert.Equal(1, await FeedService.UnreadAsync(user));
        Assert.Single(await FeedService.ItemsAsync(user, "&readState=unread"));
        Assert.Equal(1, (await user.PostAsync($"{FeedService.Feed}/read-all")).Data.GetProperty("count").GetInt64());
        Assert.Equal(0, (await user.PostAsync($"{FeedService.Feed}/read-all")).Data.GetProperty("count").GetInt64());
        Assert.Equal(items, (await FeedService.ItemsAsync(user, "&readState=read"))[1..]);
        await service.ReceiptsShouldEqualARecountAsync();
    }

    [Fact]
    public async Task An_item_that_is_being_sent_while_all_is_read_is_unread_when_it_comes()
    {
        await service.GreetAsync("in-flight");
        var user = service.As("in-flight");
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var send = new NpgsqlCommand("INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars) SELECT app_no, channel_no, next_id(), source_id, user_id, vars FROM feed_items WHERE user_id = 'in-flight'", connection);
        await send.ExecuteNonQueryAsync();
        (await user.PostAsync($"{FeedService.Feed}/read-all")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await FeedService.UnreadAsync(user));
        await transaction.CommitAsync();
        Assert.Equal(1, await FeedService.UnreadAsync(user));
    }

    [Fact]
    public async Task Reading_all_of_a_long_feed_at_once_with_single_marks_counts_each_item_once()
    {
        var campaign = await service.GreetAsync("long-feed");
        var user = service.As("long-feed");
        await service.ScalarAsync<int>("""
            WITH added AS (INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars)
              SELECT app_no, channel_no, id + g, source_id, user_id, vars FROM feed_items, generate_series(1, 2400) g WHERE user_id = 'long-feed' RETURNING 1)
            SELECT count(*)::integer FROM added
            """);
        var items = await FeedService.ItemsAsync(user);
        var marks = items.Take(40).Select(i => user.PostAsync($"{FeedService.Feed}/{i}/read"));
        foreach (var answer in await Task.WhenAll([.. marks, .. Enumerable.Range(0, 3).Select(_ => user.PostAsync($"{FeedService.Feed}/read-all"))])) answer.ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await FeedService.UnreadAsync(user));
        Assert.Equal((2401, 2401, 0), await ReceiptsAsync(campaign));
        await service.ReceiptsShouldEqualARecountAsync();
    }

    [Fact]
    public async Task A_deleted_item_is_gone_for_its_user_and_stays_counted()
    {
        var campaign = await service.GreetAsync("deletes", "keeps");
        var user = service.As("deletes");
        var id = (await FeedService.ItemsAsync(user))[0];
        (await user.PostAsync($"{FeedService.Feed}/{id}/read")).ShouldBe(HttpStatusCode.OK);
        await service.GreetAsync("deletes");
        var unread = (await FeedService.ItemsAsync(user))[0];
        var before = await ReceiptsAsync(campaign);

        foreach (var deleted in new[] { id, unread, id, unread }) (await user.DeleteAsync($"{FeedService.Feed}/{deleted}")).ShouldBe(HttpStatusCode.NoContent);
        Assert.Empty(await FeedService.ItemsAsync(user));
        Assert.Equal(0, await FeedService.UnreadAsync(user));
        (await user.GetAsync($"{FeedService.Feed}/{unread}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        foreach (var mark in new[] { "read", "delivered", "engagement" })
        {
            (await user.PostAsync($"{FeedService.Feed}/{unread}/{mark}", new { topic = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        }
        Assert.Equal(0, (await user.PostAsync($"{FeedService.Feed}/read-all")).Data.GetProperty("count").GetInt64());
        Assert.Equal(before, await ReceiptsAsync(campaign));
        await service.ReceiptsShouldEqualARecountAsync();
        await service.ShouldBalanceAsync(campaign);
        Assert.Single(await FeedService.ItemsAsync(service.As("keeps")));
    }

    [Fact]
    public async Task Another_users_item_can_neither_be_deleted_nor_engaged_with()
    {
        await service.GreetAsync("theirs", "mine");
        var item = (await FeedService.ItemsAsync(service.As("theirs")))[0];
        (await service.As("mine").DeleteAsync($"{FeedService.Feed}/{item}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await service.As("mine").PostAsync($"{FeedService.Feed}/{item}/engagement", new { topic = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await service.As("mine").DeleteAsync($"{FeedService.Feed}/fit_zzz")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Equal(JsonValueKind.Null, (await FeedService.NewestAsync(service.As("theirs"))).GetProperty("engagedAt").ValueKind);
    }

    private async Task<(int Delivered, int Read, int Engaged)> ReceiptsAsync(string campaign)
    {
        var receipts = (await service.Api.CampaignAsync(campaign)).GetProperty("receipts");
        return (receipts.GetProperty("delivered").GetInt32(), receipts.GetProperty("read").GetInt32(), receipts.GetProperty("engaged").GetInt32());
    }

    private async Task<(string Topic, long Items)[]> TopicsAsync(string campaign)
    {
        await using var command = service.Db.CreateCommand("SELECT topic, sum(n) FROM feed_topics WHERE source_id = $1 GROUP BY topic ORDER BY topic");
        command.Parameters.Add(new() { Value = await service.BatchOfAsync(campaign) });
        var topics = new List<(string, long)>();
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync()) topics.Add((reader.GetString(0), reader.GetInt64(1)));
        return [.. topics];
    }
}
