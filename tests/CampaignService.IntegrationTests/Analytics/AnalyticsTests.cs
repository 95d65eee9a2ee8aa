using System.Net;
using System.Text.Json;
using CampaignService.Data.Migrations;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Analytics;

public sealed class AnalyticsTests(AnalyticsService service) : IClassFixture<AnalyticsService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task Numbers_are_there_at_once_rolled_up_or_not()
    {
        var (template, user) = (await Api.NewTemplateAsync(variableSchema: []), NewWord());
        await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { user, NewWord() } });
        var item = (await service.As(user).GetAsync("/api/notification-feed")).Data[0].GetProperty("id").GetString();
        await service.As(user).PostAsync($"/api/notification-feed/{item}/read");
        foreach (var topic in new[] { "clicked", "shared", "clicked" }) await service.As(user).PostAsync($"/api/notification-feed/{item}/engagement", new { topic });
        for (var rolledUp = 0; rolledUp < 2; rolledUp++)
        {
            var data = (await Api.GetAsync($"/api/analytics/templates/{template}?period=hourly")).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal("""{"messages":2,"delivered":2,"failed":0,"skipped":0,"uncertain":0,"received":1,"read":1,"engaged":1}""", data.GetProperty("totals").GetRawText());
            Assert.Equal("""[{"topic":"clicked","count":1},{"topic":"shared","count":1}]""", data.GetProperty("topics").GetRawText());
            Assert.Equal(24, data.GetProperty("timeSeries").GetArrayLength());
            Assert.Equal(2, data.GetProperty("timeSeries").EnumerateArray().TakeLast(2).Sum(e => e.GetProperty("delivered").GetInt64()));
            var person = (await Api.GetAsync($"/api/analytics/users/{user}")).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal([1L, 1, 1], new[] { "viewed", "clicked", "interacted" }.Select(m => person.GetProperty(m).GetInt64()));
            Assert.Equal(30, person.GetProperty("timeSeries").GetArrayLength());
            await service.RollUpAsync();
        }
    }

    [Fact]
    public async Task What_was_there_before_anybody_counted_is_counted_like_what_comes()
    {
        await Api.SendingAsync(20, missing: 3);
        await service.DeliverAsync();
        await Api.PostAsync("/api/notifications/messages", new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = new[] { NewWord() }, tag = NewWord() });
        await service.As("u000010").PostAsync("/api/notification-feed/read-all");
        await service.ExecuteAsync("TRUNCATE stats, stat_deltas, gone");
        await service.ExecuteAsync(AnalyticsSchema.Recount);
        for (var window = 0; window < 4; window++) await new Recount(service).ShouldEqualEveryAnswerAsync(window);
    }

    [Fact]
    public async Task While_several_roll_up_at_once_no_answer_changes()
    {
        await ManyDeltasAsync(2_000);
        var path = $"/api/analytics/overview?period=hourly&endDate={await service.ScalarAsync<long>("SELECT extract(epoch FROM clock_timestamp())::bigint + 7200")}";
        var before = (await Api.GetAsync(path)).ShouldBe(HttpStatusCode.OK).Text;
        var rolling = Task.WhenAll(Enumerable.Range(5, 3).Select(service.RollUpAsync));
        var seen = 0;
        for (; !rolling.IsCompleted || seen == 0; seen++) Assert.Equal(before, (await Api.GetAsync(path)).Text);
        await rolling;
        Assert.Equal(before, (await Api.GetAsync(path)).Text);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM stat_deltas"));
        Assert.True(seen > 3);
        await new Recount(service).ShouldEqualEveryAnswerAsync(0);
    }

    [Fact]
    public async Task A_roll_up_that_dies_in_the_middle_has_done_nothing()
    {
        var batch = await ManyDeltasAsync(50);
        await service.RollUpAsync();
        // Goes into a sum that is there.
        await service.ExecuteAsync("UPDATE feed_items SET read_at = engaged_at WHERE source_id = $1", batch);
        await using (var holder = await service.Db.OpenConnectionAsync())
        {
            await using var transaction = await holder.BeginTransactionAsync();
            await using (var hold = new NpgsqlCommand("SELECT FROM stats FOR UPDATE", holder)) await hold.ExecuteNonQueryAsync();
            var rolling = service.RollUpAsync();
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<bool>("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stat_deltas%' AND datname = current_database())"));
            await service.ExecuteAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stat_deltas%' AND datname = current_database()");
            await Assert.ThrowsAnyAsync<NpgsqlException>(() => rolling);
        }
        Assert.True(await service.ScalarAsync<long>("SELECT count(*) FROM stat_deltas") > 0);
        await new Recount(service).ShouldEqualEveryAnswerAsync(0);
        await service.RollUpAsync();
        await new Recount(service).ShouldEqualEveryAnswerAsync(0);
    }

    [Fact]
    public async Task While_a_campaign_is_sent_its_numbers_only_grow_and_never_beyond_it()
    {
        var id = await Api.SendingAsync(20_000, missing: 5);
        var sending = Task.WhenAll(service.DeliverAsync(), service.DeliverAsync(), Task.Run(async () =>
        {
            for (var i = 0; i < 50; i++) await service.RollUpAsync(1);
        }));
        for (var (last, seen) = (0L, 0); !sending.IsCompleted || seen == 0; seen++)
        {
            var totals = (await Api.GetAsync($"/api/analytics/campaigns/{id}?period=hourly")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("totals");
            Assert.Equal(20_000, totals.GetProperty("messages").GetInt64());
            Assert.InRange(totals.GetProperty("delivered").GetInt64(), last, 19_995);
            last = totals.GetProperty("delivered").GetInt64();
        }
        await sending;
        await new Recount(service).ShouldEqualEveryAnswerAsync(0);
    }

    [Fact]
    public async Task What_is_asked_for_is_counted_and_nothing_else()
    {
        var (tag, other) = (NewWord(), NewWord());
        var plain = await Api.NewTemplateAsync(variableSchema: []);
        var (two, off, on) = await Api.NewTwoChannelTemplateAsync();
        await Api.PutAsync($"/api/channels/{off}", new { enabled = false });
        foreach (var (template, word, n) in new[] { (two, tag, 1), (two, other, 2), (plain, tag, 3) })
        {
            (await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = Enumerable.Range(0, n).Select(_ => NewWord()), tag = word })).ShouldBe(HttpStatusCode.OK);
        }
        Assert.Equal((5, 4, 1), await TotalsAsync($"overview?tag={tag}"));
        Assert.Equal((4, 2, 2), await TotalsAsync($"overview?tag={other}"));
        Assert.Equal((6, 3, 3), await TotalsAsync($"templates/{two}?period=hourly"));
        Assert.Equal((2, 1, 1), await TotalsAsync($"templates/{two}?tag={tag}"));
        Assert.Equal((0, 0, 0), await TotalsAsync($"overview?tag={NewWord()}"));
        var channels = (await Api.GetAsync($"/api/analytics/channels?limit=2&tag={tag}")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal([(on, (1, 1, 0)), (off, (1, 0, 1))], channels.Data.EnumerateArray().Select(c => (c.GetProperty("channelId").GetString()!, Of(c))));
        Assert.Equal("in_app", channels.Data[0].GetProperty("channelType").GetString());
        var next = channels.Json.GetProperty("meta").GetProperty("next").GetString();
        Assert.Equal((3, 3, 0), (await Api.GetAsync($"/api/analytics/channels?limit=100&tag={tag}&cursor={next}")).Data.EnumerateArray().Where(c => c.GetProperty("channelId").GetString() == Api.Inbox).Select(Of).Single());
    }

    [Fact]
    public async Task Called_off_before_its_first_message_a_campaign_counts_for_nothing()
    {
        var id = await Api.SendingAsync(5);
        Assert.Equal((5, 0, 0), await TotalsAsync($"campaigns/{id}"));
        await service.RollUpAsync();
        foreach (var verb in new[] { "pause", "cancel" }) await Api.DoAsync(id, verb);
        Assert.Equal((0, 0, 0), await TotalsAsync($"campaigns/{id}"));
    }

    [Fact]
    public async Task Tried_again_and_served_what_had_failed_is_delivered_and_no_failure_any_more()
    {
        await service.DeliverAsync();
        var id = await Api.SendingAsync(7);
        for (var start = 0; start < 3; start++)
        {
            await service.ClaimAndBeginAsync();
            await service.ExpireLeasesAsync();
        }
        await service.DeliverAsync();
        foreach (var (failed, delivered) in new[] { (7, 0), (0, 7) })
        {
            var totals = (await Api.GetAsync($"/api/analytics/campaigns/{id}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("totals");
            Assert.Equal((7, failed, delivered), (totals.GetProperty("messages").GetInt32(), totals.GetProperty("failed").GetInt32(), totals.GetProperty("delivered").GetInt32()));
            await service.RollUpAsync();
            if (failed == 0) break;
            await Api.DoAsync(id, "retry-failed");
            await service.DeliverAsync();
        }
    }

    [Fact]
    public async Task An_erased_person_stays_in_the_numbers_and_has_none_of_their_own()
    {
        var id = await Api.SendingAsync(3);
        await service.DeliverAsync();
        await service.As("u000001").PostAsync("/api/notification-feed/read-all");
        var before = (await Api.GetAsync($"/api/analytics/campaigns/{id}")).Data.GetProperty("totals").GetRawText();
        (await Api.DeleteAsync("/api/users/u000001")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(before, (await Api.GetAsync($"/api/analytics/campaigns/{id}")).Data.GetProperty("totals").GetRawText());
        (await Api.GetAsync("/api/analytics/users/u000001")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Another_app_sees_nothing()
    {
        var (user, them) = (NewWord(), await service.NewAppAsync(NewWord()));
        await Api.PostAsync("/api/notifications/messages", new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = new[] { user } });
        for (var rolledUp = 0; rolledUp < 2; rolledUp++)
        {
            Assert.Equal((0, 0, 0), Of((await them.GetAsync("/api/analytics/overview")).ShouldBe(HttpStatusCode.OK).Data));
            Assert.Empty((await them.GetAsync("/api/analytics/channels")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray());
            (await them.GetAsync($"/api/analytics/users/{user}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
            await service.RollUpAsync();
        }
    }

    [Fact]
    public async Task Who_is_known_and_was_sent_nothing_has_nothing_and_who_is_not_is_404()
    {
        var (known, draft) = (NewWord() + " ä", await Api.NewCampaignAsync());
        await Api.PostAsync("/api/users", new { id = known });
        var person = (await Api.GetAsync($"/api/analytics/users/{Uri.EscapeDataString(known)}")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((known, JsonValueKind.Null, 0), (person.GetProperty("userId").GetString(), person.GetProperty("lastEngagement").ValueKind, person.GetProperty("viewed").GetInt32()));
        Assert.Equal((0, 0, 0), await TotalsAsync($"campaigns/{draft}"));
        foreach (var path in new[] { "campaigns/nothing", "templates/nothing", "users/nothing" }) (await Api.GetAsync($"/api/analytics/{path}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Theory]
    [InlineData("overview")]
    [InlineData("campaigns/nothing")]
    [InlineData("templates/nothing")]
    [InlineData("channels")]
    [InlineData("users/nothing")]
    public async Task Every_bad_parameter_is_named_at_once(string path)
    {
        var bad = await Api.GetAsync($"/api/analytics/{path}?period=weekly&startDate=yesterday&endDate=2100-01-01T00:00:00Z&timeZone=Mars/Base&tag={new string('x', 101)}&limit=0");
        var faults = bad.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]);
        Assert.Equal(path == "channels" ? ["endDate", "limit", "period", "startDate", "tag", "timeZone"] : new[] { "endDate", "period", "startDate", "tag", "timeZone" }, faults);
    }

    [Theory]
    [InlineData("startDate=2026-01-02T00:00:00Z&endDate=2026-01-01T00:00:00Z", "endDate")]
    [InlineData("startDate=2026-01-01T00:00:00Z&endDate=2026-01-01T00:00:00Z", "endDate")]
    [InlineData("startDate=2090-01-01T00:00:00Z", "endDate")]
    [InlineData("startDate=2026-01-01T00:00:00Z&endDate=2027-01-02T00:00:01Z", "startDate")]
    [InlineData("period=hourly&startDate=2026-01-01T00:00:00Z&endDate=2026-02-01T00:00:01Z", "startDate")]
    [InlineData("startDate=0001-01-01T00:00:00Z&endDate=9999-12-31T23:59:59Z", "endDate startDate")]
    [InlineData("endDate=-62135596800", "endDate")]
    public async Task Time_that_ends_before_it_begins_or_is_too_long_is_refused(string query, string faults) =>
        Assert.Equal(faults.Split(' '), (await Api.GetAsync($"/api/analytics/overview?{query}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]));

    [Theory]
    [InlineData("startDate=1767225600&endDate=1798848000", 366)]
    [InlineData("period=hourly&startDate=2026-01-01T00:00:00Z&endDate=2026-02-01T00:00:00Z", 744)]
    [InlineData("period=hourly&startDate=2026-01-01T00:30:00Z&endDate=2026-02-01T00:30:00Z", 745)]
    [InlineData("", 30)]
    [InlineData("period=hourly", 24)]
    public async Task The_longest_time_and_that_which_is_not_given_are_taken(string query, int entries) =>
        Assert.Equal(entries, (await Api.GetAsync($"/api/analytics/overview?{query}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("timeSeries").GetArrayLength());

    private static string NewWord() => $"w{Guid.NewGuid():N}";

    private static (int Messages, int Delivered, int Skipped) Of(JsonElement data) =>
        (data.GetProperty("totals").GetProperty("messages").GetInt32(), data.GetProperty("totals").GetProperty("delivered").GetInt32(), data.GetProperty("totals").GetProperty("skipped").GetInt32());

    private async Task<(int Messages, int Delivered, int Skipped)> TotalsAsync(string path) => Of((await Api.GetAsync($"/api/analytics/{path}")).ShouldBe(HttpStatusCode.OK).Data);

    /// <summary>Many people engage, one by one.</summary>
    private async Task<long> ManyDeltasAsync(int count)
    {
        var batch = await service.BatchOfAsync(await Api.SendingAsync(count));
        await service.DeliverAsync();
        await service.ExecuteAsync($"""
            DO $$ BEGIN FOR i IN 0..{count - 1} LOOP
              UPDATE feed_items SET engaged_at = clock_timestamp(), topics = ARRAY['clicked', 'way-' || i % 60] WHERE app_no = (SELECT no FROM apps WHERE id = 'demo') AND user_id = 'u' || lpad(i::text, 6, '0') AND source_id = {batch};
            END LOOP; END $$
            """);
        return batch;
    }
}
