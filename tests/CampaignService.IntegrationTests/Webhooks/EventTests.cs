using System.Globalization;
using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using CampaignService.Webhooks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>The log holds everything that happened, once, and whoever follows it misses nothing.</summary>
public sealed class EventTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_campaign_tells_of_every_step_of_its_life()
    {
        var api = await NewAppAsync();
        var id = await DraftAsync(api, 2);
        await api.DoAsync(id, "schedule", new { scheduledAt = "2999-01-01T00:00:00Z" });
        await api.DoAsync(id, "schedule", new { scheduledAt = "2999-01-02T00:00:00Z" });
        await api.DoAsync(id, "unschedule");
        await api.DoAsync(id, "send");
        await api.DoAsync(id, "pause");
        await api.DoAsync(id, "resume");
        await service.DeliverAsync();
        await service.SequenceAsync();
        var events = await api.EventsAsync();
        Assert.Equal(["campaign.scheduled", "campaign.scheduled", "campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"], events.Types());
        Assert.Equal(["scheduled", "scheduled", "sending", "paused", "sending", "completed"], events.Select(e => Data(e).GetProperty("status").GetString()));
        Assert.Equal(6, events.Select(e => e.GetProperty("id").GetString()).Distinct().Count());
        // The whole object, as the API shows it at that time.
        Assert.Equal((await api.CampaignAsync(id)).GetRawText(), Data(events[^1]).GetRawText());
        Assert.Equal(2, Data(events[2]).GetProperty("totals").GetProperty("pending").GetInt32());
    }

    [Fact]
    public async Task What_is_stopped_is_told_when_nothing_is_under_way_and_failing_retried_and_cancelled_too()
    {
        var api = await NewAppAsync();
        var stopped = await DraftAsync(api, 2);
        await api.DoAsync(stopped, "send");
        await api.DoAsync(stopped, "stop");
        var failed = await DraftAsync(api, 2, named: false);
        await api.DoAsync(failed, "send");
        await service.DeliverAsync();
        await api.DoAsync(failed, "retry-failed", new { include = new[] { "skipped" } });
        await service.DeliverAsync();
        var cancelled = await api.HappenAsync();
        await service.SequenceAsync();
        var events = await api.EventsAsync();
        Assert.Equal(["campaign.started", "campaign.stopped"], events.Where(e => Data(e).GetProperty("id").GetString() == stopped).Types());
        Assert.Equal(["campaign.started", "campaign.failed", "campaign.resumed", "campaign.failed"], events.Where(e => Data(e).GetProperty("id").GetString() == failed).Types());
        Assert.Equal(["campaign.cancelled"], events.Where(e => Data(e).GetProperty("id").GetString() == cancelled).Types());
        Assert.NotEqual(JsonValueKind.Null, Data(events[1]).GetProperty("completedAt").ValueKind);
    }

    [Fact]
    public async Task A_direct_send_to_few_is_told_as_made_and_completed_and_costs_one_row_until_then()
    {
        var api = await NewAppAsync();
        var template = await api.NewTemplateAsync(variableSchema: []);
        await service.SequenceAsync();
        var sent = (await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann", "bob" }, tag = "orders" })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM outbox_runs"));
        // Read by then: the event tells of when it was sent.
        var inbox = As(api, "ann");
        var item = (await inbox.GetAsync("/api/notification-feed")).Data[0].GetProperty("id").GetString();
        (await inbox.PostAsync($"/api/notification-feed/{item}/read")).ShouldBe(HttpStatusCode.OK);
        await service.SequenceAsync();
        var events = (await api.EventsAsync()).Where(e => e.GetProperty("type").GetString()!.StartsWith("notification.", StringComparison.Ordinal)).ToList();
        Assert.Equal(["notification.created", "notification.completed"], events.Types());
        Assert.NotEqual(events[0].GetProperty("id").GetString(), events[1].GetProperty("id").GetString());
        Assert.All(events, e =>
        {
            Assert.Equal((sent.GetProperty("notificationId").GetString(), "completed", "orders"), (Text(Data(e), "id"), Text(Data(e), "status"), Text(Data(e), "tag")));
            Assert.Equal((2, 0), (Data(e).GetProperty("totals").GetProperty("delivered").GetInt32(), Data(e).GetProperty("receipts").GetProperty("read").GetInt32()));
        });
    }

    [Fact]
    public async Task A_direct_send_to_many_is_told_when_it_is_made_and_when_it_is_over()
    {
        var api = await NewAppAsync();
        var template = await api.NewTemplateAsync(variableSchema: []);
        var sent = (await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = Enumerable.Range(0, 11).Select(i => $"u{i}") })).ShouldBe(HttpStatusCode.Accepted).Data;
        await service.DeliverAsync();
        await service.SequenceAsync();
        var events = await api.EventsAsync();
        Assert.Equal(["notification.created", "notification.completed"], events.Types());
        Assert.Equal([("sending", 11, 0), ("completed", 0, 11)], events.Select(e => (Text(Data(e), "status"),
            Data(e).GetProperty("totals").GetProperty("pending").GetInt32(), Data(e).GetProperty("totals").GetProperty("delivered").GetInt32())));
        Assert.All(events, e => Assert.Equal(Text(sent, "batchId"), Text(Data(e), "id")));
    }

    [Fact]
    public async Task What_a_user_does_with_an_item_is_told_as_it_was_then()
    {
        var api = await NewAppAsync();
        var template = await api.NewTemplateAsync(variableSchema: []);
        await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" } });
        var inbox = As(api, "ann");
        var item = (await inbox.GetAsync("/api/notification-feed")).Data[0].GetProperty("id").GetString();
        for (var again = 0; again < 2; again++)
        {
            (await inbox.PostAsync($"/api/notification-feed/{item}/delivered")).ShouldBe(HttpStatusCode.OK);
            (await inbox.PostAsync($"/api/notification-feed/{item}/read")).ShouldBe(HttpStatusCode.OK);
            (await inbox.PostAsync($"/api/notification-feed/{item}/engagement", new { topic = "clicked" })).ShouldBe(HttpStatusCode.OK);
        }
        (await inbox.DeleteAsync($"/api/notification-feed/{item}")).ShouldBe(HttpStatusCode.NoContent);
        await service.SequenceAsync();
        var acts = (await api.EventsAsync()).Where(e => e.GetProperty("type").GetString()!.StartsWith("feed_item.", StringComparison.Ordinal)).ToList();
        // Repeated, nothing happened.
        Assert.Equal(["feed_item.delivered", "feed_item.read", "feed_item.engaged"], acts.Types());
        Assert.All(acts, e => Assert.Equal((item, "ann"), (Text(Data(e), "id"), Text(Data(e), "userId"))));
        Assert.Equal(["delivered", "read", "read"], acts.Select(e => Text(Data(e), "status")));
        Assert.Equal(JsonValueKind.Null, Data(acts[1]).GetProperty("engagedAt").ValueKind);
        Assert.Equal("clicked", Text(Data(acts[2]), "topic"));
        Assert.StartsWith("Hello", Data(acts[0]).GetProperty("content").GetProperty("title").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reading_tells_of_the_delivery_that_it_is_and_reading_all_of_each_item()
    {
        var api = await NewAppAsync();
        var template = await api.NewTemplateAsync(variableSchema: []);
        for (var i = 0; i < 3; i++) await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" } });
        var inbox = As(api, "ann");
        var item = (await inbox.GetAsync("/api/notification-feed")).Data[0].GetProperty("id").GetString();
        await inbox.PostAsync($"/api/notification-feed/{item}/delivered");
        await inbox.PostAsync("/api/notification-feed/read-all");
        await inbox.PostAsync("/api/notification-feed/read-all");
        await service.SequenceAsync();
        var acts = (await api.EventsAsync()).Types();
        Assert.Equal((3, 3), (acts.Count(t => t == "feed_item.delivered"), acts.Count(t => t == "feed_item.read")));
    }

    [Fact]
    public async Task Eight_writers_who_commit_late_two_who_number_and_one_who_follows_miss_nothing_and_repeat_nothing()
    {
        const int writers = 8, each = 60;
        var api = await NewAppAsync();
        var app = await AppNoAsync(api);
        using var written = new CancellationTokenSource();
        var numbering = Enumerable.Range(0, 2).Select(_ => NumberAsync(written.Token)).ToArray();
        var writing = Task.WhenAll(Enumerable.Range(0, writers).Select(w => WriteAsync(app, w, each)));

        var seen = new List<string>();
        string? after = null;
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while (seen.Count < writers * each)
        {
            patience.Token.ThrowIfCancellationRequested();
            var page = (await api.GetAsync($"/api/events?limit=7{(after is null ? "" : $"&after={after}")}")).ShouldBe(HttpStatusCode.OK);
            seen.AddRange(page.Data.EnumerateArray().Select(e => Text(Data(e), "name")!));
            after = page.Json.GetProperty("meta").GetProperty("next").GetString() ?? after;
        }
        await writing;
        await written.CancelAsync();
        await Task.WhenAll(numbering);
        Assert.Equal(writers * each, seen.Distinct().Count());
        Assert.Empty((await api.GetAsync($"/api/events?after={after}")).Data.EnumerateArray());
        // Each writer's own are in the order in which they were committed.
        foreach (var of in seen.GroupBy(name => name.Split('-')[0])) Assert.Equal(Enumerable.Range(0, each), of.Select(name => int.Parse(name.Split('-')[1], CultureInfo.InvariantCulture)));
    }

    [Fact]
    public async Task What_commits_long_after_it_was_written_comes_last_and_is_not_lost()
    {
        var api = await NewAppAsync();
        var app = await AppNoAsync(api);
        await using var late = await service.Db.OpenConnectionAsync();
        await using var transaction = await late.BeginTransactionAsync();
        await EventLog.AppendAsync(late, app, EventType.CampaignPaused, new { name = "late" }, null, CancellationToken.None);
        await using (var soon = await service.Db.OpenConnectionAsync()) await EventLog.AppendAsync(soon, app, EventType.CampaignPaused, new { name = "soon" }, null, CancellationToken.None);
        await service.SequenceAsync();
        var page = (await api.GetAsync("/api/events")).Json;
        Assert.Equal("soon", Text(Data(Assert.Single(page.GetProperty("data").EnumerateArray())), "name"));
        await transaction.CommitAsync();
        // By then it lies behind where the sequencer begins; now and then that looks at all.
        await service.ExecuteAsync("UPDATE outbox_events SET id = id_at(clock_timestamp() - interval '1 hour') WHERE app_no = $1", app);
        for (var turn = 0; turn < 40; turn++) await service.SequenceAsync();
        var behind = await api.EventsAsync(page.GetProperty("meta").GetProperty("next").GetString());
        Assert.Equal("late", Text(Data(Assert.Single(behind)), "name"));
    }

    [Fact]
    public async Task A_cursor_is_of_one_app_and_cannot_be_made_up()
    {
        var (ours, theirs) = (await NewAppAsync(), await NewAppAsync());
        await ours.HappenAsync();
        await service.SequenceAsync();
        var cursor = (await ours.GetAsync("/api/events")).Json.GetProperty("meta").GetProperty("next").GetString();
        (await ours.GetAsync($"/api/events?after={cursor}")).ShouldBe(HttpStatusCode.OK);
        foreach (var bad in new[] { "x", "1", cursor + "A", cursor![..^1] })
        {
            var refused = (await ours.GetAsync($"/api/events?after={bad}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
            Assert.StartsWith("after: ", Assert.Single(refused.Details), StringComparison.Ordinal);
        }
        (await theirs.GetAsync($"/api/events?after={cursor}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Empty((await theirs.GetAsync("/api/events")).Data.EnumerateArray());
        (await ours.GetAsync("/api/events?limit=101")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await ours.GetAsync("/api/events?limit=0")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task An_erased_person_is_in_no_event_any_more()
    {
        var api = await NewAppAsync();
        var template = await api.NewTemplateAsync(variableSchema: []);
        var campaign = (await api.PostAsync("/api/campaigns", new { name = "From Zed", templateId = template, senderId = "zed-the-person" })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString()!;
        await api.DoAsync(campaign, "cancel");
        await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "zed-the-person", "other" } });
        foreach (var user in new[] { "zed-the-person", "other" }) await As(api, user).PostAsync("/api/notification-feed/read-all");
        await service.SequenceAsync();
        // One is in the log, one still in the outbox.
        await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "zed-the-person" } });
        await As(api, "zed-the-person").PostAsync("/api/notification-feed/read-all");

        var exported = (await api.GetAsync("/api/users/zed-the-person/export")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("records").GetProperty("events");
        Assert.Equal(["campaign.cancelled", "feed_item.delivered", "feed_item.read"], exported.EnumerateArray().Types().Order(StringComparer.Ordinal));
        (await api.DeleteAsync("/api/users/zed-the-person")).ShouldBe(HttpStatusCode.OK);
        await service.SequenceAsync();

        var left = await api.EventsAsync();
        Assert.Contains("campaign.cancelled", left.Types());
        Assert.Equal(["other", "other"], left.Where(e => e.GetProperty("type").GetString()!.StartsWith("feed_item.", StringComparison.Ordinal)).Select(e => Text(Data(e), "userId")));
        Assert.DoesNotContain("zed-the-person", string.Concat(left.Select(e => e.GetRawText())), StringComparison.Ordinal);
        foreach (var table in new[] { "events", "outbox_events", "webhook_attempts" })
            Assert.Equal(0, await service.ScalarAsync<long>($"SELECT count(*) FROM {table} t WHERE t::text LIKE '%zed-the-person%'"));
    }

    [Fact]
    public async Task What_is_older_than_the_log_is_kept_goes_and_the_rest_stays()
    {
        var api = await NewAppAsync();
        for (var i = 0; i < 3; i++) await api.HappenAsync();
        await service.SequenceAsync();
        await service.ExecuteAsync("UPDATE events SET at = at - interval '31 days' WHERE app_no = $1 AND seq = (SELECT min(seq) FROM events WHERE app_no = $1)", await AppNoAsync(api));
        await service.Services.GetRequiredService<EventRetention>().PruneAsync(CancellationToken.None);
        Assert.Equal(2, (await api.EventsAsync()).Count);
    }

    [Fact]
    public async Task A_cursor_behind_which_events_were_removed_is_refused_and_one_that_missed_none_goes_on()
    {
        var api = await NewAppAsync();
        for (var i = 0; i < 3; i++) await api.HappenAsync();
        await service.SequenceAsync();
        var (first, second) = (await NextAsync("limit=1"), await NextAsync("limit=2"));
        await service.ExecuteAsync("UPDATE events SET at = at - interval '31 days' WHERE app_no = $1 AND seq < (SELECT max(seq) FROM events WHERE app_no = $1)", await AppNoAsync(api));
        await service.Services.GetRequiredService<EventRetention>().PruneAsync(CancellationToken.None);
        Assert.Contains("kept for 30 days", Assert.Single((await api.GetAsync($"/api/events?after={first}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
        Assert.Single(await api.EventsAsync(second));
        Assert.Single(await api.EventsAsync());

        async Task<string?> NextAsync(string query) => (await api.GetAsync($"/api/events?{query}")).Json.GetProperty("meta").GetProperty("next").GetString();
    }

    private async Task NumberAsync(CancellationToken until)
    {
        var sequencer = new EventSequencer(service.Db, service.Services.GetRequiredService<WebhookSignal>(), TimeProvider.System, NullLogger<EventSequencer>.Instance);
        while (!until.IsCancellationRequested) await sequencer.SequenceAsync(CancellationToken.None);
    }

    /// <summary>Writes one after the other, and waits in each transaction, now shorter, now longer.</summary>
    private async Task WriteAsync(int app, int writer, int count)
    {
        await using var connection = await service.Db.OpenConnectionAsync();
        for (var i = 0; i < count; i++)
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await EventLog.AppendAsync(connection, app, EventType.CampaignPaused, new { name = $"{writer}-{i}" }, null, CancellationToken.None);
            await using (var wait = new NpgsqlCommand("SELECT pg_sleep(random() * 0.02)", connection)) await wait.ExecuteNonQueryAsync();
            await transaction.CommitAsync();
        }
    }

    private static async Task<string> DraftAsync(Api api, int recipients, bool named = true)
    {
        var id = await api.NewCampaignAsync(variables: named ? new { name = "all" } : null);
        (await api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = Enumerable.Range(0, recipients).Select(i => $"u{i}") })).ShouldBe(HttpStatusCode.Created);
        return id;
    }

    private Task<Api> NewAppAsync() => service.NewAppAsync($"e-{Guid.NewGuid():N}");

    private Task<int> AppNoAsync(Api api) => service.ScalarAsync<int>("SELECT no FROM apps WHERE id = $1", api.Http.DefaultRequestHeaders.GetValues("appId").Single());

    private Api As(Api api, string user) => service.Client([.. api.Http.DefaultRequestHeaders.Select(h => (h.Key, h.Value.Single())), ("onBehalfOf", user)]);

    private static JsonElement Data(JsonElement happened) => happened.GetProperty("data");

    private static string? Text(JsonElement of, string member) => of.GetProperty(member).GetString();
}
