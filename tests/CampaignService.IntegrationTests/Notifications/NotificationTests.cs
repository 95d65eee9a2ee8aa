using System.Net;
using System.Text.Json;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Notifications;

/// <summary>Direct notifications over HTTP: what a backend sees, and what its users find in their feeds.</summary>
public sealed class NotificationTests(TestService service) : IClassFixture<TestService>
{
    private const string Send = "/api/notifications/messages";

    private Api Api => service.Api;

    [Theory]
    [InlineData("/api/notifications/messages")]
    [InlineData("/notifications/messages")]
    public async Task To_a_few_it_is_in_their_feeds_when_the_answer_arrives(string path)
    {
        var (template, anna, bob) = (await Api.NewTemplateAsync(), NewUser(), NewUser());
        var sent = (await Api.PostAsync(path, new
        {
            templateId = template,
            receivers = new[] { anna, $" {bob} ", anna },
            variables = new Dictionary<string, object> { [anna] = new { name = "Anna \"\\,{}", city = "NULL" }, [bob] = new { name = "Bob" } },
            tag = "orders",
        })).ShouldBe(HttpStatusCode.OK).Data;

        Assert.Equal("realtime", sent.GetProperty("mode").GetString());
        Assert.Equal(1, sent.GetProperty("duplicates").GetInt32());
        Assert.Equal((Api.Inbox, "in_app"), ChannelOf(sent.GetProperty("channels")[0]));
        var item = Assert.Single(await FeedAsync(anna));
        Assert.Equal("Hello Anna \"\\,{}", item.GetProperty("content").GetProperty("title").GetString());
        Assert.Equal("How is NULL?", item.GetProperty("content").GetProperty("body").GetString());
        Assert.Equal(sent.GetProperty("notificationId").GetString(), item.GetProperty("notificationId").GetString());
        Assert.Equal(JsonValueKind.Null, item.GetProperty("campaignId").ValueKind);
        Assert.Equal("How is your town?", Assert.Single(await FeedAsync(bob)).GetProperty("content").GetProperty("body").GetString());
    }

    [Fact]
    public async Task Those_sent_one_after_the_other_are_listed_newest_first()
    {
        var (api, sent) = (await service.NewAppAsync("in-order"), new List<string>());
        var template = await api.NewTemplateAsync();
        for (var i = 0; i < 5; i++)
        {
            var answer = await api.PostAsync(Send, new { templateId = template, receivers = new[] { "ann" }, variables = new { ann = new { name = "Ann" } } });
            sent.Insert(0, answer.ShouldBe(HttpStatusCode.OK).Data.GetProperty("notificationId").GetString()!);
        }
        Assert.Equal(sent, (await api.GetAsync("/api/notifications")).Data.EnumerateArray().Select(n => n.GetProperty("id").GetString()));
    }

    [Fact]
    public async Task To_a_few_it_is_tracked_like_a_campaign()
    {
        var (anna, bob) = ("a" + NewUser(), "b" + NewUser());
        var id = await SentAsync(await Api.NewTemplateAsync(), [bob, anna], new { name = "X" });
        await service.As(anna).PostAsync($"/api/notification-feed/{(await FeedAsync(anna))[0].GetProperty("id").GetString()}/read");

        var one = (await Api.GetAsync($"/api/notifications/{id}")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal("completed", one.GetProperty("status").GetString());
        Assert.Equal((2, 2, 0), Totals(one));
        Assert.Equal((1, 1), (one.GetProperty("receipts").GetProperty("delivered").GetInt32(), one.GetProperty("receipts").GetProperty("read").GetInt32()));
        Assert.Equal(1, one.GetProperty("progress").GetDouble());
        var receivers = (await Api.GetAsync($"/api/notifications/{id}/recipients")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal([anna, bob], receivers.EnumerateArray().Select(r => r.GetProperty("userId").GetString()));
        Assert.Equal("X", receivers[0].GetProperty("variables").GetProperty("name").GetString());
        Assert.Equal("delivered", receivers[0].GetProperty("status").GetString());
        var first = (await Api.GetAsync($"/api/notifications/{id}/recipients?limit=1")).Json;
        var second = (await Api.GetAsync($"/api/notifications/{id}/recipients?limit=1&cursor={first.GetProperty("meta").GetProperty("next").GetString()}")).Data;
        Assert.Equal(bob, Assert.Single(second.EnumerateArray()).GetProperty("userId").GetString());
        Assert.Empty((await Api.GetAsync($"/api/notifications/{id}/recipients?status=failed")).Data.EnumerateArray());
    }

    [Fact]
    public async Task To_more_it_is_queued_ahead_of_campaigns_and_those_without_values_are_skipped()
    {
        for (var i = 0; i < 3; i++) await Api.SendingAsync(recipients: 20);
        var users = Enumerable.Range(0, 11).Select(i => $"{NewUser()}-{i}").ToArray();
        var queued = (await Api.PostAsync(Send, new
        {
            templateId = await Api.NewTemplateAsync(),
            receivers = users.Append(users[0]),
            variables = users.Skip(1).ToDictionary(u => u, _ => new { name = "N" }),
        })).ShouldBe(HttpStatusCode.Accepted).Data;
        Assert.Equal(("batch", 11, 1), (queued.GetProperty("mode").GetString(), queued.GetProperty("total").GetInt32(), queued.GetProperty("duplicates").GetInt32()));
        var id = queued.GetProperty("batchId").GetString();
        Assert.Equal("sending", await StatusAsync(id!));

        // Every fourth claim takes bulk first, and nobody knows which: of two in a row one does not.
        await service.DeliverOneAsync();
        await service.DeliverOneAsync();

        var one = (await Api.GetAsync($"/api/notifications/{id}")).Data;
        Assert.Equal((11, 10, 0), Totals(one));
        Assert.Equal(1, one.GetProperty("totals").GetProperty("skipped").GetInt32());
        await service.DeliverAsync();
        Assert.Equal("partially_failed", await StatusAsync(id!));
        var skipped = (await Api.GetAsync($"/api/notifications/{id}/recipients?status=skipped")).Data;
        Assert.Equal(users[0], Assert.Single(skipped.EnumerateArray()).GetProperty("userId").GetString());
        Assert.Equal("Hello N", Assert.Single(await FeedAsync(users[5])).GetProperty("content").GetProperty("title").GetString());
    }

    [Fact]
    public async Task Ten_different_ones_named_twenty_times_are_a_few()
    {
        var users = Enumerable.Range(0, 10).Select(i => $"{NewUser()}-{i}").ToArray();
        var template = await Api.NewTemplateAsync(variableSchema: []);
        Assert.Equal("realtime", (await Api.PostAsync(Send, new { templateId = template, receivers = users.Concat(users) })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("mode").GetString());
    }

    [Fact]
    public async Task Bad_input_is_refused_with_every_fault_and_nothing_is_sent()
    {
        var user = NewUser();
        var image = await Api.NewTemplateAsync(content: new { picture = "{{picture}}" }, variableSchema: [new { key = "picture", type = "image" }, new { key = "name", required = true }]);
        var before = await CountAsync();

        (await Api.PostAsync(Send, new { templateId = image, receivers = Array.Empty<string>() })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.PostAsync(Send, new { templateId = image, receivers = Enumerable.Range(0, 10_001).Select(i => $"u{i}") })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_TARGET_LIMIT_EXCEEDED");
        var shape = (await Api.PostAsync(Send, new { templateId = "", receivers = new[] { "", new string('x', 256), user }, variables = new { nobody = new { } }, tag = new string('t', 101) }))
            .ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(["receivers[0]", "receivers[1]", "tag", "templateId", "variables.nobody"], shape.Details.Select(d => d[..d.IndexOf(':', StringComparison.Ordinal)]).Order(StringComparer.Ordinal));
        var values = (await Api.PostAsync(Send, new { templateId = image, receivers = new[] { user }, variables = new Dictionary<string, object> { [user] = new { picture = new { width = 1, height = 1 }, name = new[] { 1 }, other = 1 } } }))
            .ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal([$"variables.{user}.name", $"variables.{user}.other", $"variables.{user}.picture"], values.Details.Select(d => d[..d.IndexOf(": ", StringComparison.Ordinal)]).Order(StringComparer.Ordinal));
        var missing = (await Api.PostAsync(Send, new { templateId = image, receivers = new[] { user, "other" } })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_INVALID_VARIABLES");
        Assert.Equal(2, missing.Details.Length);
        Assert.StartsWith($"variables.{user}.name: ", missing.Details[0], StringComparison.Ordinal);
        var tooMany = (await Api.PostAsync(Send, new { templateId = image, receivers = Enumerable.Range(0, 10_001).Select(i => $"u{i}"), tag = new string('t', 101) })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(2, tooMany.Details.Length);
        (await Api.PostAsync(Send, new { templateId = "none", receivers = new[] { user } })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.PostAsync(Send, new { templateId = image, templateVersion = 7, receivers = new[] { user } })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.PostAsync(Send, new { templateId = await Api.NewTemplateAsync(status: "draft"), receivers = new[] { user } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_TEMPLATE_NOT_APPROVED");

        Assert.Empty(await FeedAsync(user));
        Assert.Equal(before, await CountAsync());
    }

    [Fact]
    public async Task What_changes_on_a_template_or_channel_holds_for_the_next_send()
    {
        var (template, off, on) = await Api.NewTwoChannelTemplateAsync();
        var user = NewUser();
        await SentAsync(template, [user]);
        Assert.Equal(2, (await FeedAsync(user)).Count);

        (await Api.PutAsync($"/api/channels/{off}", new { enabled = false })).ShouldBe(HttpStatusCode.OK);
        var id = await SentAsync(template, [user]);
        Assert.Equal(3, (await FeedAsync(user)).Count);
        var one = (await Api.GetAsync($"/api/notifications/{id}")).Data;
        Assert.Equal((1, 1), (one.GetProperty("totals").GetProperty("delivered").GetInt32(), one.GetProperty("totals").GetProperty("skipped").GetInt32()));
        Assert.Equal("channel_disabled", (await Api.GetAsync($"/api/notifications/{id}/recipients")).Data[0].GetProperty("channels").EnumerateArray()
            .Single(c => c.GetProperty("channelId").GetString() == off).GetProperty("reason").GetString());
        Assert.Equal("skipped", (await Api.GetAsync($"/api/notifications/{id}/recipients?channelId={off}")).Data[0].GetProperty("status").GetString());

        (await Api.PutAsync($"/api/channels/{on}", new { enabled = false })).ShouldBe(HttpStatusCode.OK);
        (await Api.PostAsync(Send, new { templateId = template, receivers = new[] { user } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NO_ENABLED_CHANNEL");
        (await Api.PutAsync($"/api/channels/{on}", new { enabled = true })).ShouldBe(HttpStatusCode.OK);
        (await Api.DeleteAsync($"/api/templates/{template}")).ShouldBe(HttpStatusCode.OK);
        (await Api.PostAsync(Send, new { templateId = template, receivers = new[] { user } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_TEMPLATE_NOT_APPROVED");
    }

    [Fact]
    public async Task Many_at_once_are_each_delivered_and_listed_newest_first()
    {
        var (template, user, tag) = (await Api.NewTemplateAsync(variableSchema: []), NewUser(), NewUser());
        var ids = await Task.WhenAll(Enumerable.Range(0, 300).Select(async _ =>
            (await Api.PostAsync(Send, new { templateId = template, receivers = new[] { user }, tag })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("notificationId").GetString()!));
        Assert.Equal(300, ids.Distinct().Count());
        Assert.Equal(300, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id = $1", user));

        var listed = new List<string>();
        for (string? next = ""; next is not null;)
        {
            var page = (await Api.GetAsync($"/api/notifications?tag={tag}&limit=100{(next.Length == 0 ? "" : $"&cursor={next}")}")).ShouldBe(HttpStatusCode.OK).Json;
            listed.AddRange(page.GetProperty("data").EnumerateArray().Select(n => n.GetProperty("id").GetString()!));
            next = page.GetProperty("meta").GetProperty("next").GetString();
        }
        Assert.Equal(ids.OrderDescending(StringComparer.Ordinal), listed);
    }

    [Fact]
    public async Task One_that_the_database_refuses_fails_alone()
    {
        // PostgreSQL has no character U+0000; the shape check refuses it, so it is put behind that.
        var store = new PoisonedWriter(service);
        await store.RunAsync(await Api.NewTemplateAsync(variableSchema: []));
    }

    [Theory]
    [InlineData("UPDATE batches SET progress_at = clock_timestamp() - interval '2 hours' WHERE kind = 2 AND state = 2", "late")]
    [InlineData("UPDATE delivery_pulse SET timeline = '00000000'", "restored")]
    public async Task Held_by_the_service_it_waits_and_can_be_resumed(string fault, string reason)
    {
        var (id, users) = await QueuedAsync();
        await service.ExecuteAsync("UPDATE delivery_pulse SET at = clock_timestamp() - interval '3 hours'");
        await service.ExecuteAsync(fault);
        // As a worker that starts now.
        service.Services.GetRequiredService<DeliveryPulse>().Forget();
        await service.DeliverAsync();
        var held = (await Api.GetAsync($"/api/notifications/{id}")).Data;
        Assert.Equal(("paused", reason), (held.GetProperty("status").GetString(), held.GetProperty("statusReason").GetProperty("code").GetString()));
        Assert.Equal(11, held.GetProperty("totals").GetProperty("pending").GetInt32());
        Assert.Empty(await FeedAsync(users[0]));

        (await Api.PostAsync($"/api/notifications/{id}/resume")).ShouldBe(HttpStatusCode.OK);
        await service.DeliverAsync();
        Assert.Equal("completed", await StatusAsync(id));
        Assert.Single(await FeedAsync(users[0]));
        (await Api.PostAsync($"/api/notifications/{id}/resume")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
    }

    [Fact]
    public async Task Stopped_it_skips_those_left_and_cannot_go_on()
    {
        var (id, users) = await QueuedAsync();
        var stopped = (await Api.PostAsync($"/api/notifications/{id}/stop")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal("stopped", stopped.GetProperty("status").GetString());
        Assert.Equal(11, stopped.GetProperty("totals").GetProperty("skipped").GetInt32());
        Assert.NotEqual(JsonValueKind.Null, stopped.GetProperty("completedAt").ValueKind);
        foreach (var verb in new[] { "stop", "resume" }) (await Api.PostAsync($"/api/notifications/{id}/{verb}")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
        (await Api.PostAsync("/api/notifications/ntf_0000000000000000/stop")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        await service.DeliverAsync();
        Assert.Empty(await FeedAsync(users[0]));
    }

    [Fact]
    public async Task An_item_of_it_expires_when_its_channel_says()
    {
        var (user, many) = (NewUser(), Enumerable.Range(0, 11).Select(_ => NewUser()).ToArray());
        var template = (await Api.PostAsync("/api/templates", new
        {
            name = "Short-lived",
            status = "approved",
            channels = new[] { new { channelType = "in_app", channelId = Api.Inbox, content = new { a = 1 }, messageRetentionHours = 2 } },
        })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("templateId").GetString()!;
        await SentAsync(template, [user]);
        (await Api.PostAsync(Send, new { templateId = template, receivers = many })).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        foreach (var one in new[] { user, many[3] })
        {
            Assert.Equal(2, Math.Round(await service.ScalarAsync<double>("SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 / 3600 FROM feed_items WHERE user_id = $1", one), 1));
            await service.ExecuteAsync("UPDATE feed_items SET expires_at = clock_timestamp() WHERE user_id = $1", one);
            Assert.Empty(await FeedAsync(one));
        }
    }

    [Fact]
    public async Task Another_app_sees_none_of_it_and_a_read_key_cannot_send()
    {
        var id = await SentAsync(await Api.NewTemplateAsync(variableSchema: []), [NewUser()]);
        var other = await service.NewAppAsync($"other-{Guid.NewGuid():N}", "full");
        (await other.GetAsync($"/api/notifications/{id}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await other.GetAsync($"/api/notifications/{id}/recipients")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Empty((await other.GetAsync("/api/notifications")).Data.EnumerateArray());
        var reader = await service.NewAppAsync($"reader-{Guid.NewGuid():N}", "read");
        (await reader.PostAsync(Send, new { templateId = "x", receivers = new[] { "u" } })).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
    }

    private static string NewUser() => Guid.NewGuid().ToString("N");

    private static (string?, string?) ChannelOf(JsonElement channel) => (channel.GetProperty("channelId").GetString(), channel.GetProperty("channelType").GetString());

    private static (int Recipients, int Delivered, int Pending) Totals(JsonElement one)
    {
        var totals = one.GetProperty("totals");
        return (totals.GetProperty("recipients").GetInt32(), totals.GetProperty("delivered").GetInt32(), totals.GetProperty("pending").GetInt32());
    }

    private async Task<(string Id, string[] Users)> QueuedAsync()
    {
        var users = Enumerable.Range(0, 11).Select(i => $"{NewUser()}-{i}").ToArray();
        var queued = (await Api.PostAsync(Send, new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = users })).ShouldBe(HttpStatusCode.Accepted).Data;
        return (queued.GetProperty("batchId").GetString()!, users);
    }

    private async Task<string> SentAsync(string template, string[] users, object? values = null) => (await Api.PostAsync(Send, new
    {
        templateId = template,
        receivers = users,
        variables = values is null ? null : users.ToDictionary(u => u, _ => values),
    })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("notificationId").GetString()!;

    private async Task<string> StatusAsync(string id) => (await Api.GetAsync($"/api/notifications/{id}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("status").GetString()!;

    private async Task<List<JsonElement>> FeedAsync(string user) => [.. (await service.As(user).GetAsync("/api/notification-feed")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray()];

    private Task<long> CountAsync() => service.ScalarAsync<long>("SELECT (SELECT count(*) FROM notifications) + (SELECT count(*) FROM batches)");
}
