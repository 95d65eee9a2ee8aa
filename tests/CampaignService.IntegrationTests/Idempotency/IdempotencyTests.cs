using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.Idempotency;
using CampaignService.IntegrationTests.Support;
using CampaignService.Notifications;
using CampaignService.Webhooks;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Idempotency;

/// <summary>A caller whose answer was lost sends the same again, with the same key.</summary>
public sealed class IdempotencyTests(TestService service) : IClassFixture<TestService>
{
    private const string Send = "/api/notifications/messages";

    private Api Api => service.Api;

    [Fact]
    public async Task A_repeated_campaign_is_made_once_and_answered_alike()
    {
        var (key, body) = (NewKey(), new { name = $"Once {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        var first = (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
        var second = (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
        Assert.Equal(first.Text, second.Text);
        Assert.Equal(first.Headers.Location, second.Headers.Location);
        Assert.False(first.Headers.Contains("Idempotency-Replayed"));
        Assert.Equal("true", Assert.Single(second.Headers.GetValues("Idempotency-Replayed")));
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM campaigns WHERE name = $1", body.name));
    }

    [Fact]
    public async Task A_repeated_notification_is_sent_once_and_answered_alike()
    {
        var (key, user) = (NewKey(), NewKey());
        var body = new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = new[] { user } };
        var first = (await PostAsync(Send, body, key)).ShouldBe(HttpStatusCode.OK);
        var second = (await PostAsync(Send, body, key)).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(first.Text, second.Text);
        Assert.Equal("true", Assert.Single(second.Headers.GetValues("Idempotency-Replayed")));
        Assert.Equal("application/json", second.ContentType);
        Assert.Equal(1, await FeedCountAsync(user));
        // Also when it could not be sent any more.
        await Api.DeleteAsync($"/api/templates/{body.templateId}");
        Assert.Equal(first.Text, (await PostAsync(Send, body, key)).ShouldBe(HttpStatusCode.OK).Text);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(11)]
    public async Task Fifty_identical_notifications_at_once_are_one(int receivers)
    {
        var (key, user) = (NewKey(), NewKey());
        var body = new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = Enumerable.Range(0, receivers).Select(i => $"{user}-{i}").ToArray() };
        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => PostAsync(Send, body, key)));
        await service.DeliverAsync();

        var done = answers.Where(a => a.Status is HttpStatusCode.OK or HttpStatusCode.Accepted).ToArray();
        Assert.Single(done.Select(a => a.Text).Distinct());
        Assert.Single(done, a => !a.Headers.Contains("Idempotency-Replayed"));
        foreach (var other in answers.Except(done)) other.ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        for (var i = 0; i < receivers; i++) Assert.Equal(1, await FeedCountAsync($"{user}-{i}"));
    }

    [Fact]
    public async Task Twenty_identical_campaigns_at_once_are_one()
    {
        var (key, body) = (NewKey(), new { name = $"Race {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync("/api/campaigns", body, key)));
        var done = answers.Where(a => a.Status == HttpStatusCode.Created).ToArray();
        Assert.Single(done.Select(a => a.Text).Distinct());
        foreach (var other in answers.Except(done)) other.ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM campaigns WHERE name = $1", body.name));
    }

    [Fact]
    public async Task The_same_keys_in_opposite_orders_in_two_writes_do_not_lock_each_other_out()
    {
        var poisoned = new Notifications.PoisonedWriter(service);
        var template = await poisoned.TemplateAsync(await Api.NewTemplateAsync(variableSchema: []));
        var store = service.Services.GetRequiredService<NotificationStore>();
        for (var round = 0; round < 10; round++)
        {
            var keys = Enumerable.Range(0, 100).Select(_ => NewKey()).ToArray();
            var writes = new[] { keys, [.. keys.Reverse()] }.Select(order => order.Select(key => Notifications.PoisonedWriter.Of(template, key, new(template.Version.AppNo, key, [1]))).ToArray()).ToArray();
            // A deadlock would throw out of one of them.
            await Task.WhenAll(writes.Select(write => store.StoreAsync(write, new NotificationIds(), isRetry: false)));
            foreach (var notification in writes.SelectMany(w => w))
            {
                notification.Tell();
                await notification.Done;
            }
            Assert.Equal(100, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id = ANY($1)", (object)keys));
        }
    }

    [Fact]
    public async Task Two_users_with_the_same_key_are_two_requests_and_a_users_device_cannot_take_the_backends_key()
    {
        var (template, key, anna, bob) = (await Api.NewTemplateAsync(variableSchema: []), NewKey(), NewKey(), NewKey());
        await Api.PostAsync(Send, new { templateId = template, receivers = new[] { anna, bob } });
        var answers = new List<Answer>();
        foreach (var user in new[] { anna, bob })
        {
            var token = (await Api.PostAsync($"/api/users/{user}/tokens")).ShouldBe(HttpStatusCode.Created).Data.GetProperty("token").GetString()!;
            var device = service.Client(("Authorization", $"Bearer {token}"), ("Idempotency-Key", key));
            answers.Add((await device.PostAsync("/api/notification-feed/read-all")).ShouldBe(HttpStatusCode.OK));
        }
        Assert.All(answers, a => Assert.False(a.Headers.Contains("Idempotency-Replayed")));
        Assert.Equal(2, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id = ANY($1) AND read_at IS NOT NULL", (object)new[] { anna, bob }));
        (await PostAsync(Send, new { templateId = template, receivers = new[] { anna } }, key)).ShouldBe(HttpStatusCode.OK);

        // What was kept of a person goes with them.
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE person = $1", anna));
        (await Api.DeleteAsync($"/api/users/{anna}")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE person = $1 OR key LIKE $1 || '%'", anna));
    }

    [Fact]
    public async Task A_form_without_a_body_has_a_key_all_the_same()
    {
        var (key, draft) = (NewKey(), await Api.NewCampaignAsync());
        var copies = new HashSet<string>();
        for (var i = 0; i < 2; i++)
        {
            // As curl -d '' sends it.
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/campaigns/{draft}/duplicate") { Content = new FormUrlEncodedContent([]) };
            request.Headers.Add("Idempotency-Key", key);
            using var response = await Api.Http.SendAsync(request);
            copies.Add((await Answer.OfAsync(response)).ShouldBe(HttpStatusCode.Created).Text);
        }
        Assert.Single(copies);
    }

    [Theory]
    [InlineData(Send)]
    [InlineData("/api/campaigns")]
    public async Task Another_body_with_the_same_key_is_refused(string path)
    {
        var (key, template) = (NewKey(), await Api.NewTemplateAsync(variableSchema: []));
        object Body(string other) => new { templateId = template, receivers = new[] { "anna" }, name = other, tag = other };
        await PostAsync(path, Body("one"), key);
        (await PostAsync(path, Body("two"), key)).ShouldRefuse(HttpStatusCode.UnprocessableEntity, "ERR_IDEMPOTENCY_KEY_REUSED");
        (await PostAsync($"{path}?a=b", Body("one"), key)).ShouldRefuse(HttpStatusCode.UnprocessableEntity, "ERR_IDEMPOTENCY_KEY_REUSED");
    }

    [Theory]
    [InlineData(Send)]
    [InlineData("/api/campaigns")]
    public async Task A_refusal_is_kept_too_and_also_what_follows_a_mended_cause(string path)
    {
        var (key, slug) = (NewKey(), $"later-{Guid.NewGuid():N}");
        object body = new { templateId = slug, receivers = new[] { "anna" }, name = "N" };
        var first = (await PostAsync(path, body, key)).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.PostAsync("/api/templates", new { name = "Later", templateId = slug, status = "approved", channels = new[] { new { channelType = "in_app", channelId = Api.Inbox, content = new { a = "b" } } } })).ShouldBe(HttpStatusCode.Created);
        var second = await PostAsync(path, body, key);
        Assert.Equal(first.Text, second.Text);
        Assert.Equal("true", Assert.Single(second.Headers.GetValues("Idempotency-Replayed")));
    }

    [Fact]
    public async Task Keys_of_two_apps_are_two_keys_and_a_wrong_secret_keeps_nothing()
    {
        var (key, template) = (NewKey(), await Api.NewTemplateAsync());
        var stranger = service.Client(("appId", "demo"), ("apiKey", "wrong"), ("Idempotency-Key", key));
        (await stranger.PostAsync("/api/campaigns", new { name = "A", templateId = template })).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        var other = await service.NewAppAsync($"other-{Guid.NewGuid():N}", "full");
        other.Http.DefaultRequestHeaders.Add("Idempotency-Key", key);
        (await other.PostAsync("/api/campaigns", new { name = "A", templateId = template })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await PostAsync("/api/campaigns", new { name = "A", templateId = template }, key)).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_key_has_1_to_255_characters()
    {
        (await PostAsync("/api/campaigns", new { }, new string('k', 256))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await PostAsync("/api/campaigns", new { name = "K", templateId = await Api.NewTemplateAsync() }, new string('k', 255))).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task After_24_hours_a_key_is_new_again()
    {
        var (key, user) = (NewKey(), NewKey());
        var body = new { templateId = await Api.NewTemplateAsync(variableSchema: []), receivers = new[] { user } };
        await PostAsync(Send, body, key);
        await service.ExecuteAsync("UPDATE idempotency_keys SET at = at - interval '24 hours' WHERE key = $1", key);
        Assert.False((await PostAsync(Send, body, key)).ShouldBe(HttpStatusCode.OK).Headers.Contains("Idempotency-Replayed"));
        Assert.Equal(2, await FeedCountAsync(user));
        await service.ExecuteAsync("UPDATE idempotency_keys SET at = at - interval '24 hours' WHERE key = $1", key);
        await service.Services.GetRequiredService<IdempotencyKeys>().SweepAsync(CancellationToken.None);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE key = $1", key));
    }

    [Fact]
    public async Task Whoever_died_before_doing_anything_holds_the_key_for_a_minute()
    {
        var (key, body) = (NewKey(), new { name = $"Dead {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        // As the process that dies took it: the digest is that of the very request.
        (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
        await service.ExecuteAsync("UPDATE idempotency_keys SET state = 1, status = NULL, answer = NULL, location = NULL WHERE key = $1", key);
        (await PostAsync("/api/campaigns", body, key)).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        await service.ExecuteAsync("UPDATE idempotency_keys SET at = at - interval '61 seconds' WHERE key = $1", key);
        (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Whoever_died_after_doing_it_leaves_the_key_and_it_is_not_done_again()
    {
        var (key, body) = (NewKey(), new { name = $"Done {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
        await service.ExecuteAsync("UPDATE idempotency_keys SET state = 2, status = NULL, answer = NULL, location = NULL, at = at - interval '2 hours' WHERE key = $1", key);
        (await PostAsync("/api/campaigns", body, key)).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_ANSWER_LOST");
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM campaigns WHERE name = $1", body.name));
    }

    [Fact]
    public async Task Work_and_its_note_on_the_key_are_one_commit()
    {
        var (key, body) = (NewKey(), new { name = $"Fence {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        await LoseKeysAsync("campaigns");
        (await PostAsync("/api/campaigns", body, key)).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        await KeepKeysAsync("campaigns");
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM campaigns WHERE name = $1", body.name));
    }

    [Fact]
    public async Task Whoever_comes_too_late_to_change_people_changes_nobody()
    {
        var (key, user) = (NewKey(), NewKey());
        await LoseKeysAsync("users");
        (await PostAsync("/api/users", new { users = new[] { new { id = user, name = "Late" } } }, key)).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        await KeepKeysAsync("users");
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM users WHERE id = $1", user));
        (await PostAsync("/api/users", new { users = new[] { new { id = user, name = "In time" } } }, NewKey())).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Whoever_comes_too_late_to_replay_events_has_none_sent_again()
    {
        var hook = (await Api.PostAsync("/api/webhooks", new { url = "https://example.com/hook", events = new[] { "*" } })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString();
        await Api.DoAsync(await Api.SendingAsync(1), "pause");
        await service.Services.GetRequiredService<EventSequencer>().SequenceAsync(CancellationToken.None);
        await service.ExecuteAsync("DELETE FROM webhook_deliveries");
        var now = TimeProvider.System.GetUtcNow();
        var time = new { from = now.AddHours(-1), to = now.AddHours(1) };
        await LoseKeysAsync("webhook_deliveries");
        (await PostAsync($"/api/webhooks/{hook}/replay", time, NewKey())).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
        await KeepKeysAsync("webhook_deliveries");
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM webhook_deliveries"));
        Assert.NotEqual(0, (await PostAsync($"/api/webhooks/{hook}/replay", time, NewKey())).ShouldBe(HttpStatusCode.OK).Data.GetProperty("queued").GetInt32());
    }

    [Fact]
    public async Task A_fault_of_ours_gives_the_key_back()
    {
        var (key, body) = (NewKey(), new { name = $"Fault {Guid.NewGuid():N}", templateId = await Api.NewTemplateAsync() });
        await service.ExecuteAsync("CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a fault'; END $$");
        await service.ExecuteAsync("CREATE TRIGGER fail_once BEFORE INSERT ON campaigns FOR EACH ROW WHEN (NEW.name LIKE 'Fault %') EXECUTE FUNCTION fail_once()");
        (await PostAsync("/api/campaigns", body, key)).ShouldRefuse(HttpStatusCode.InternalServerError, "ERR_OPERATION_FAILED");
        await service.ExecuteAsync("DROP TRIGGER fail_once ON campaigns");
        (await PostAsync("/api/campaigns", body, key)).ShouldBe(HttpStatusCode.Created);
    }

    /// <summary>As when somebody else takes the key over while a request is at work in this table: it must not commit.</summary>
    private async Task LoseKeysAsync(string table)
    {
        await service.ExecuteAsync("""
            CREATE OR REPLACE FUNCTION lose_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE idempotency_keys SET token = gen_random_uuid() WHERE state = 1; RETURN NEW; END $$
            """);
        await service.ExecuteAsync($"CREATE TRIGGER lose_key BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION lose_key()");
    }

    private Task KeepKeysAsync(string table) => service.ExecuteAsync($"DROP TRIGGER lose_key ON {table}");

    private static string NewKey() => Guid.NewGuid().ToString("N");

    private Task<long> FeedCountAsync(string user) => service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id = $1", user);

    private async Task<Answer> PostAsync(string path, object body, string key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(JsonSerializer.Serialize(body, JsonSerializerOptions.Web), Encoding.UTF8, "application/json") };
        request.Headers.Add("Idempotency-Key", key);
        using var response = await Api.Http.SendAsync(request);
        return await Answer.OfAsync(response);
    }
}
