using System.Net;
using CampaignService.Feed;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedExpiryTests(FeedService service) : IClassFixture<FeedService>
{
    [Fact]
    public async Task An_item_expires_so_many_hours_after_it_was_sent()
    {
        await SendAsync("expires", hours: 3);
        await SendAsync("expires", hours: 0);
        Assert.Equal(TimeSpan.FromHours(3), await service.ScalarAsync<TimeSpan>("""
            SELECT expires_at - (timestamptz '2024-01-01Z' + (id >> 22) * interval '1 ms') FROM feed_items WHERE user_id = 'expires' ORDER BY id LIMIT 1
            """));
        Assert.True(await service.ScalarAsync<bool>("SELECT expires_at IS NULL FROM feed_items WHERE user_id = 'expires' ORDER BY id DESC LIMIT 1"));
        Assert.Equal(2, (await FeedService.ItemsAsync(service.As("expires"))).Length);
    }

    [Fact]
    public async Task An_expired_item_is_in_no_page_and_no_count_and_has_no_id()
    {
        var campaign = await SendAsync("expired", hours: 1);
        await SendAsync("expired", hours: 0);
        var user = service.As("expired");
        var (kept, gone) = ((await FeedService.ItemsAsync(user))[0], (await FeedService.ItemsAsync(user))[1]);
        await service.ScalarAsync<int>("WITH past AS (UPDATE feed_items SET expires_at = clock_timestamp() WHERE user_id = 'expired' AND expires_at IS NOT NULL RETURNING 1) SELECT count(*)::integer FROM past");

        Assert.Equal([kept], await FeedService.ItemsAsync(user));
        Assert.Equal(1, await FeedService.UnreadAsync(user));
        (await user.GetAsync($"{FeedService.Feed}/{gone}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await user.DeleteAsync($"{FeedService.Feed}/{gone}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        foreach (var mark in new[] { "read", "delivered", "engagement" })
        {
            (await user.PostAsync($"{FeedService.Feed}/{gone}/{mark}", new { topic = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        }
        Assert.Equal(1, (await user.PostAsync($"{FeedService.Feed}/read-all")).Data.GetProperty("count").GetInt64());
        Assert.Equal(0, (await service.Api.CampaignAsync(campaign)).GetProperty("receipts").GetProperty("delivered").GetInt32());
        await service.ReceiptsShouldEqualARecountAsync();
    }

    [Fact]
    public async Task The_hours_are_part_of_the_version()
    {
        await service.Api.PostAsync("/api/channels", new { name = "Hours", type = "in_app", channelId = "hours" });
        object Channels(int? hours) => new[] { new { channelType = "in_app", channelId = "hours", content = new { a = 1 }, messageRetentionHours = hours ?? 0 } };
        var template = (await service.Api.PostAsync("/api/templates", new { name = "Hours", status = "approved", channels = Channels(24) })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(24, template.GetProperty("channels")[0].GetProperty("messageRetentionHours").GetInt32());
        var path = $"/api/templates/{template.GetProperty("id").GetString()}";
        Assert.Equal(1, (await service.Api.PutAsync(path, new { channels = Channels(24) })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("currentVersion").GetInt32());
        Assert.Equal(2, (await service.Api.PutAsync(path, new { channels = Channels(0) })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("currentVersion").GetInt32());
        Assert.Equal(24, (await service.Api.GetAsync($"{path}/versions")).Data[1].GetProperty("channels")[0].GetProperty("messageRetentionHours").GetInt32());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(8761)]
    public async Task Hours_out_of_range_are_refused_at_save(int messageRetentionHours)
    {
        var channels = new[] { new { channelType = "in_app", content = new { a = 1 }, messageRetentionHours } };
        var refused = await service.Api.PostAsync("/api/templates", new { name = "x", channels });
        Assert.StartsWith("channels[0].messageRetentionHours: ", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
    }

    private async Task<string> SendAsync(string user, int hours) =>
        await service.SendAsync(service.Api, await service.NewTemplateAsync(service.Api, new { title = "Hi" }, (null, []), hours), new() { [user] = [] });
}

/// <summary>What feeds do not keep for ever.</summary>
public sealed class FeedRetentionTests(FeedRetentionTests.ThirtyDays service) : IClassFixture<FeedRetentionTests.ThirtyDays>
{
    [Fact]
    public async Task What_is_older_than_the_limit_goes_by_months_and_by_rows_and_counts_stay()
    {
        var campaign = await service.Api.SendingAsync(3);
        await service.DeliverAsync();
        var user = service.As("u000000");
        (await user.PostAsync($"{FeedService.Feed}/{(await FeedService.ItemsAsync(user))[0]}/read")).ShouldBe(HttpStatusCode.OK);
        // Months of the past: one wholly too old, one in which the limit falls, with rows on both sides of it.
        for (var back = 1; back <= 4; back++) await NewMonthAsync(back);
        foreach (var days in new[] { 29, 31, 100 }) await AddAsync(days, rows: 6_000);
        Assert.Equal(18_003, await CountAsync());

        await service.Services.GetRequiredService<FeedPartitions>().PruneAsync(CancellationToken.None);
        Assert.Equal(6_003, await CountAsync());
        Assert.True(await service.ScalarAsync<bool>("SELECT min(id) >= id_at(clock_timestamp() - interval '30 days') FROM feed_items"));
        Assert.Equal(0, await service.ScalarAsync<int>($"SELECT count(*)::integer FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE inhparent = 'feed_items'::regclass AND relname < 'feed_items_' || to_char((clock_timestamp() - interval '30 days') AT TIME ZONE 'UTC', 'YYYY_MM')"));
        Assert.Equal((1, 1), await ReceiptsAsync(campaign));
        Assert.Equal(3, (await service.Api.CampaignAsync(campaign)).GetProperty("totals").GetProperty("delivered").GetInt32());

        // Again, and while another process holds the lock, nothing happens.
        await service.Services.GetRequiredService<FeedPartitions>().PruneAsync(CancellationToken.None);
        await AddAsync(days: 31, rows: 1);
        await using var other = await service.Db.OpenConnectionAsync();
        await using (var hold = new Npgsql.NpgsqlCommand("SELECT pg_advisory_lock(hashtext('prune_feed'))", other)) await hold.ExecuteNonQueryAsync();
        await service.Services.GetRequiredService<FeedPartitions>().PruneAsync(CancellationToken.None);
        Assert.Equal(6_004, await CountAsync());
        await using (var free = new Npgsql.NpgsqlCommand("SELECT pg_advisory_unlock(hashtext('prune_feed'))", other)) await free.ExecuteNonQueryAsync();
        await service.Services.GetRequiredService<FeedPartitions>().PruneAsync(CancellationToken.None);
        Assert.Equal(6_003, await CountAsync());
    }

    private Task<long> CountAsync() => service.ScalarAsync<long>("SELECT count(*) FROM feed_items");

    private async Task<(int Delivered, int Read)> ReceiptsAsync(string campaign)
    {
        var receipts = (await service.Api.CampaignAsync(campaign)).GetProperty("receipts");
        return (receipts.GetProperty("delivered").GetInt32(), receipts.GetProperty("read").GetInt32());
    }

    private async Task NewMonthAsync(int back)
    {
        var month = await service.ScalarAsync<DateTime>("SELECT date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - make_interval(months => $1)", back);
        await service.ScalarAsync<object>($"""
            DO $$ BEGIN EXECUTE format('CREATE TABLE feed_items_{month:yyyy_MM} PARTITION OF feed_items FOR VALUES FROM (%s) TO (%s)',
              id_at('{month:yyyy-MM-dd} 00:00Z'), id_at('{month.AddMonths(1):yyyy-MM-dd} 00:00Z')); END $$; SELECT 1
            """);
    }

    private Task<int> AddAsync(int days, int rows) => service.ScalarAsync<int>("""
        WITH added AS (INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars)
          SELECT app_no, channel_no, id_at(clock_timestamp() - make_interval(days => $1)) + g, source_id, 'old' || g % 50, vars
          FROM (SELECT * FROM feed_items WHERE user_id = 'u000001' LIMIT 1) f, generate_series(1, $2) g RETURNING 1)
        SELECT count(*)::integer FROM added
        """, days, rows);

    public sealed class ThirtyDays : TestService
    {
        protected override Dictionary<string, string> Settings => new() { ["Retention:FeedDays"] = "30" };
    }
}
