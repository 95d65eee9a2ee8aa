using System.Net;
using System.Text.Json;
using CampaignService.Feed;
using CampaignService.IntegrationTests.Support;
using CampaignService.Users;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedStreamTests(FeedService service) : IClassFixture<FeedService>
{
    private const string Path = FeedService.Feed + "/stream";

    [Fact]
    public async Task A_stream_begins_with_a_comment_and_tells_what_is_new_to_its_user_and_to_nobody_else()
    {
        await service.GreetAsync("follower", "other");
        await using var stream = await Events.OpenAsync(service.As("follower"));
        Assert.Equal("text/event-stream", stream.Response.Content.Headers.ContentType?.MediaType);
        Assert.StartsWith(": ", await stream.LineAsync(), StringComparison.Ordinal);
        await service.GreetAsync("other");
        var campaign = await service.GreetAsync("follower");
        var told = await stream.NextAsync();
        Assert.Equal(("item", campaign), (told.Event, told.Item.GetProperty("campaignId").GetString()));
        Assert.Equal(told.Id, told.Item.GetProperty("id").GetString());
        Assert.Equal((await service.As("follower").GetAsync($"{FeedService.Feed}/{told.Id}")).Data.GetRawText(), told.Item.GetRawText());
        var next = await service.GreetAsync("follower");
        Assert.Equal(next, (await stream.NextAsync()).Item.GetProperty("campaignId").GetString());
    }

    [Fact]
    public async Task A_stream_goes_on_where_it_was_left_and_leaves_nothing_out()
    {
        var user = service.As("resumes");
        for (var i = 0; i < 4; i++) await service.GreetAsync("resumes");
        var items = (await FeedService.ItemsAsync(user)).Reverse().ToArray();
        await CreateLastMonthAsync();
        // Three minutes, two minutes and 50 s before the last, and one deleted.
        await MoveAsync(items[0], 180);
        await MoveAsync(items[1], 120);
        await MoveAsync(items[2], 50);
        items = [.. (await FeedService.ItemsAsync(user)).Reverse()];
        foreach (var (name, position) in new[] { ("header", items[3]), ("query", items[3]), ("both", items[0]) })
        {
            var api = service.As("resumes");
            if (name != "query") api.Http.DefaultRequestHeaders.Add("Last-Event-ID", position);
            await using var stream = await Events.OpenAsync(api, name switch { "query" => $"?lastEventId={position}", "both" => $"?lastEventId={items[3]}", _ => "" });
            string[] expected = name == "both" ? items : items[2..];
            foreach (var item in expected) Assert.Equal(item, (await stream.NextAsync()).Id);
        }
        (await user.DeleteAsync($"{FeedService.Feed}/{items[2]}")).ShouldBe(HttpStatusCode.NoContent);
        await using var last = await Events.OpenAsync(user, $"?lastEventId={items[0]}");
        foreach (var item in new[] { items[0], items[1], items[3] }) Assert.Equal(item, (await last.NextAsync()).Id);
        var campaign = await service.GreetAsync("resumes");
        Assert.Equal(campaign, (await last.NextAsync()).Item.GetProperty("campaignId").GetString());
    }

    [Fact]
    public async Task More_than_one_page_that_was_missed_comes_whole_and_each_item_once()
    {
        await service.GreetAsync("missed");
        var first = (await FeedService.ItemsAsync(service.As("missed")))[0];
        await AddAsync("missed", 450);
        await using var stream = await Events.OpenAsync(service.As("missed"), $"?lastEventId={first}");
        var seen = new List<string>();
        while (seen.Count < 451) seen.Add((await stream.NextAsync()).Id);
        Assert.Equal(seen.Order(StringComparer.Ordinal).Distinct(), seen);
        var campaign = await service.GreetAsync("missed");
        Assert.Equal(campaign, (await stream.NextAsync()).Item.GetProperty("campaignId").GetString());
    }

    [Theory]
    [InlineData("x")]
    [InlineData("fit_xyz")]
    [InlineData("fit_ffffffffffffffff")]
    public async Task A_position_that_is_none_is_refused(string position) =>
        Assert.StartsWith("lastEventId: ", Assert.Single((await service.As("u").GetAsync($"{Path}?lastEventId={position}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);

    [Fact]
    public async Task An_item_that_becomes_visible_after_later_ones_is_told_too()
    {
        await service.GreetAsync("overtaken");
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        // Begun before the stream, committed after an item with a larger id was told.
        await using var send = new NpgsqlCommand("INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars) SELECT app_no, channel_no, next_id(), source_id, user_id, vars FROM feed_items WHERE user_id = 'overtaken' RETURNING id", connection);
        var late = (long)(await send.ExecuteScalarAsync())!;
        await using var stream = await Events.OpenAsync(service.As("overtaken"));
        await service.GreetAsync("overtaken");
        Assert.True(FeedService.NumberOf((await stream.NextAsync()).Id) > late);
        await transaction.CommitAsync();
        Assert.Equal(late, FeedService.NumberOf((await stream.NextAsync()).Id));
    }

    [Fact]
    public async Task Hundreds_follow_and_each_gets_its_own_items_once()
    {
        var users = Enumerable.Range(0, 300).Select(i => $"many{i}").ToArray();
        await service.GreetAsync(users);
        var streams = await Task.WhenAll(users.Select(u => Events.OpenAsync(service.As(u))));
        var campaigns = new[] { await service.GreetAsync(users), await service.GreetAsync(users) };
        foreach (var stream in streams)
        {
            foreach (var campaign in campaigns) Assert.Equal(campaign, (await stream.NextAsync()).Item.GetProperty("campaignId").GetString());
        }
        foreach (var stream in streams) await stream.DisposeAsync();
    }

    [Fact]
    public async Task Who_does_not_read_is_disconnected_and_holds_up_nobody()
    {
        await service.SendAsync(service.Api, await service.NewTemplateAsync(service.Api, new { title = new string('x', 20_000) }), new() { ["lazy"] = [] });
        await using var lazy = await Events.OpenAsync(service.As("lazy"));
        await using var keen = await Events.OpenAsync(service.As("keen"));
        for (var i = 0; i < 3; i++)
        {
            await AddAsync("lazy", 80);
            var campaign = await service.GreetAsync("keen");
            Assert.Equal(campaign, (await keen.NextAsync()).Item.GetProperty("campaignId").GetString());
        }
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            while ((await lazy.NextAsync()).Id.Length > 0) { }
        });
    }

    [Fact]
    public async Task An_item_that_cannot_be_shown_holds_up_nobody()
    {
        await service.GreetAsync("broken");
        await using var broken = await Events.OpenAsync(service.As("broken"));
        await using var whole = await Events.OpenAsync(service.As("whole"));
        await service.ScalarAsync<long>("INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars) SELECT app_no, channel_no, next_id(), 1, user_id, vars FROM feed_items WHERE user_id = 'broken' RETURNING id");
        var campaign = await service.GreetAsync("broken", "whole");
        foreach (var stream in new[] { whole, broken }) Assert.Equal(campaign, (await stream.NextAsync()).Item.GetProperty("campaignId").GetString());
    }

    [Fact]
    public async Task A_stream_in_which_nothing_happens_gives_a_sign_of_life()
    {
        var stream = new FeedStream(new Person(await service.ScalarAsync<int>("SELECT no FROM apps WHERE id = 'demo'"), "silent"), new FeedPass("demo", "demo-key", null), () => { });
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await using var texts = service.Services.GetRequiredService<FeedStreams>().FollowAsync(stream, null, end.Token).GetAsyncEnumerator(end.Token);
        await texts.MoveNextAsync();
        stream.ToldAt -= 16 * service.Services.GetRequiredService<TimeProvider>().TimestampFrequency;
        await texts.MoveNextAsync();
        Assert.Equal(": nothing new\n\n"u8.ToArray(), texts.Current.ToArray());
    }

    [Fact]
    public async Task A_stream_ends_soon_after_its_key_was_deleted()
    {
        var operate = service.Client(("operatorKey", TestService.OperatorKey));
        var key = (await operate.PostAsync("/api/apps/demo/keys", new { name = "follow", scopes = new[] { "feed" } })).ShouldBe(HttpStatusCode.Created).Data;
        await using var stream = await Events.OpenAsync(service.Client(("appId", "demo"), ("apiKey", key.GetProperty("key").GetString()!), ("onBehalfOf", "revoked")));
        (await operate.DeleteAsync($"/api/apps/demo/keys/{key.GetProperty("id").GetString()}")).ShouldBe(HttpStatusCode.NoContent);
        await stream.EndAsync();
    }

    [Fact]
    public async Task A_user_follows_with_a_token_is_online_meanwhile_and_is_cut_off_when_erased()
    {
        (await service.Api.PostAsync("/api/users", new { id = "bearer" })).ShouldBe(HttpStatusCode.OK);
        var token = (await service.Api.PostAsync("/api/users/bearer/tokens")).ShouldBe(HttpStatusCode.Created).Data.GetProperty("token").GetString();
        await using var stream = await Events.OpenAsync(service.Client(("Authorization", $"Bearer {token}")));
        var campaign = await service.GreetAsync("bearer");
        Assert.Equal(campaign, (await stream.NextAsync()).Item.GetProperty("campaignId").GetString());
        await Eventually.HoldsAsync(async () => (await service.Api.GetAsync("/api/users/bearer")).Data.GetProperty("status").GetString() == "online");
        (await service.Api.DeleteAsync("/api/users/bearer")).ShouldBe(HttpStatusCode.OK);
        await stream.EndAsync();
    }

    [Fact]
    public async Task A_stream_ends_when_the_service_does()
    {
        var own = new FeedService();
        await own.InitializeAsync();
        await using var stream = await Events.OpenAsync(own.As("stopped"));
        own.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        await stream.EndAsync();
        await own.DisposeAsync();
    }

    [Fact]
    public async Task Who_delivers_gives_the_signal()
    {
        var next = service.Services.GetRequiredService<FeedSignal>().Next;
        await service.GreetAsync("signalled");
        Assert.True(next.IsCompleted);
    }

    /// <summary>In the first minutes of a month what is moved back belongs to the one before, for which the service has no need to have a partition.</summary>
    private Task CreateLastMonthAsync() => service.ExecuteAsync("""
        DO $$ DECLARE
          this timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
          name text := 'feed_items_' || to_char(this - interval '1 month', 'YYYY_MM');
        BEGIN
          IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF feed_items FOR VALUES FROM (%s) TO (%s)', name, id_at((this - interval '1 month') AT TIME ZONE 'UTC'), id_at(this AT TIME ZONE 'UTC'));
          END IF;
        END $$
        """);

    /// <summary>Sent so many seconds earlier.</summary>
    private Task<long> MoveAsync(string item, int seconds) =>
        service.ScalarAsync<long>("UPDATE feed_items SET id = id - ($2::bigint * 1000 << 22) WHERE id = $1 RETURNING id", FeedService.NumberOf(item), seconds);

    private Task<int> AddAsync(string user, int items) => service.ScalarAsync<int>("""
        WITH base AS (SELECT next_id() AS id),
        added AS (INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars)
          SELECT f.app_no, f.channel_no, base.id + g, f.source_id, f.user_id, f.vars
          FROM base, generate_series(1, $2) g, (SELECT * FROM feed_items WHERE user_id = $1 ORDER BY id LIMIT 1) f RETURNING 1)
        SELECT count(*)::integer FROM added
        """, user, items);

    /// <summary>A stream as a client reads it.</summary>
    private sealed class Events(HttpResponseMessage response, StreamReader reader) : IAsyncDisposable
    {
        public HttpResponseMessage Response => response;

        /// <summary>Returns when the service follows.</summary>
        public static async Task<Events> OpenAsync(Api user, string query = "")
        {
            var response = await user.Http.GetAsync(Path + query, HttpCompletionOption.ResponseHeadersRead);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            return new Events(response, new StreamReader(await response.Content.ReadAsStreamAsync()));
        }

        public async Task<string?> LineAsync()
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            return await reader.ReadLineAsync(limit.Token);
        }

        public async Task<(string Id, string Event, JsonElement Item)> NextAsync()
        {
            var (id, name) = ("", "");
            while (true)
            {
                var line = await LineAsync() ?? throw new EndOfStreamException();
                if (line.StartsWith("id: ", StringComparison.Ordinal)) id = line[4..];
                else if (line.StartsWith("event: ", StringComparison.Ordinal)) name = line[7..];
                else if (line.StartsWith("data: ", StringComparison.Ordinal)) return (id, name, JsonDocument.Parse(line[6..]).RootElement);
            }
        }

        /// <summary>Fails unless the service ends it.</summary>
        public async Task EndAsync()
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            await reader.ReadToEndAsync(limit.Token);
        }

        public ValueTask DisposeAsync()
        {
            reader.Dispose();
            response.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
