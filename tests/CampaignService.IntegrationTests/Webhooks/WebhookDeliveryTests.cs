using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using CampaignService.Webhooks;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>What comes to a customer's server, and what becomes of it when that does not take it.</summary>
public sealed class WebhookDeliveryTests(WebhookService service) : IClassFixture<WebhookService>
{
    [Fact]
    public async Task An_event_comes_signed_to_who_wants_it_once_and_to_nobody_else()
    {
        await using var receiver = await Receiver.StartAsync();
        var (api, other) = (await NewAppAsync(), await NewAppAsync());
        var all = await api.NewWebhookAsync(receiver.Url("/all"), "*", "campaign.*", "campaign.cancelled");
        var some = await api.NewWebhookAsync(receiver.Url("/some"), "campaign.completed", "feed_item.*");
        await other.NewWebhookAsync(receiver.Url("/other"), "*");
        var id = await api.HappenAsync();
        await service.DispatchAsync();
        await service.DispatchAsync();

        var came = Assert.Single(receiver.Received);
        var logged = Assert.Single(await api.EventsAsync());
        Assert.Equal("/all", came.Path);
        Assert.Equal(logged.GetRawText(), came.Body);
        Assert.Equal(["id", "type", "timestamp", "data"], came.Json.EnumerateObject().Select(m => m.Name));
        Assert.Equal((came.Id, "campaign.cancelled", id), (came.Json.GetProperty("id").GetString(), came.Type, came.Json.GetProperty("data").GetProperty("id").GetString()));
        Assert.Equal(("application/json", "Campaigns-Webhooks/1"), (came.Headers["Content-Type"], came.Headers["User-Agent"]));
        Assert.Equal(SignatureOf(all.Secret(), came), came.Signature);
        var attempt = Assert.Single(await api.AttemptsAsync(all.Id()));
        Assert.Equal((came.Id, "campaign.cancelled", 1, true, 204), (attempt.GetProperty("eventId").GetString(), attempt.GetProperty("type").GetString(), attempt.GetProperty("attempt").GetInt32(),
            attempt.GetProperty("succeeded").GetBoolean(), attempt.GetProperty("statusCode").GetInt32()));
        Assert.Empty(await api.AttemptsAsync(some.Id()));
        Assert.Equal(0, await WaitingAsync(all));
    }

    [Fact]
    public async Task What_fails_comes_again_after_the_times_promised_with_the_same_id_eight_times_in_all()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", 500);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        for (var attempt = 0; attempt < 10; attempt++)
        {
            await service.DispatchAsync();
            await service.MakeDueAsync(webhook);
        }
        Assert.Equal(8, receiver.Received.Count);
        Assert.Single(receiver.Received.Select(r => r.Id).Distinct());
        // Each is signed anew, for the time at which it is sent.
        Assert.All(receiver.Received, r => Assert.Equal(SignatureOf(webhook.Secret(), r), r.Signature));
        var attempts = await api.AttemptsAsync(webhook.Id());
        double[] seconds = [5, 30, 120, 600, 3_600, 21_600, 86_400];
        for (var i = 0; i < 8; i++)
        {
            var attempt = attempts[7 - i];
            Assert.Equal((i + 1, false, 500), (attempt.GetProperty("attempt").GetInt32(), attempt.GetProperty("succeeded").GetBoolean(), attempt.GetProperty("statusCode").GetInt32()));
            if (i == 7) Assert.Equal(JsonValueKind.Null, attempt.GetProperty("nextAttemptAt").ValueKind);
            else Assert.InRange((attempt.GetProperty("nextAttemptAt").GetDateTimeOffset() - attempt.GetProperty("at").GetDateTimeOffset()).TotalSeconds, seconds[i] * 0.8, (seconds[i] * 1.2) + 2);
        }
        Assert.Equal(0, await WaitingAsync(webhook));
    }

    [Fact]
    public async Task What_is_taken_the_second_time_comes_no_third_time()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", 503);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.NotEqual(JsonValueKind.Null, (await GetAsync(api, webhook)).GetProperty("failingSince").ValueKind);
        receiver.Answer("/", 202);
        await service.DispatchAsync();
        Assert.Single(receiver.Received);
        await service.MakeDueAsync(webhook);
        await service.DispatchAsync();
        await service.MakeDueAsync(webhook);
        await service.DispatchAsync();
        Assert.Equal(2, receiver.Received.Count);
        Assert.Equal(JsonValueKind.Null, (await GetAsync(api, webhook)).GetProperty("failingSince").ValueKind);
    }

    [Fact]
    public async Task A_receiver_that_asks_for_a_pause_gets_it()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", http =>
        {
            (http.Response.StatusCode, http.Response.Headers.RetryAfter) = (429, "600");
            return Task.CompletedTask;
        });
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        var attempt = Assert.Single(await api.AttemptsAsync(webhook.Id()));
        Assert.InRange((attempt.GetProperty("nextAttemptAt").GetDateTimeOffset() - attempt.GetProperty("at").GetDateTimeOffset()).TotalSeconds, 600, 605);
    }

    [Fact]
    public async Task A_redirect_is_a_failure_and_is_not_followed()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", http =>
        {
            http.Response.Redirect(receiver.Url("/elsewhere"), permanent: false, preserveMethod: true);
            return Task.CompletedTask;
        });
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Equal("/", Assert.Single(receiver.Received).Path);
        Assert.Contains("Redirects are not followed", Assert.Single(await api.AttemptsAsync(webhook.Id())).GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_an_answer_without_end_a_kilobyte_is_kept()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", async http =>
        {
            var chunk = Encoding.UTF8.GetBytes(new string('x', 1000) + "\0");
            while (!http.RequestAborted.IsCancellationRequested) await http.Response.Body.WriteAsync(chunk, http.RequestAborted);
        });
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        var attempt = Assert.Single(await api.AttemptsAsync(webhook.Id()));
        Assert.True(attempt.GetProperty("succeeded").GetBoolean());
        Assert.Equal(new string('x', 1023), attempt.GetProperty("answer").GetString());
    }

    [Fact]
    public async Task Who_is_gone_is_disabled_at_once_and_the_others_hear_of_it()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/gone", 410);
        var api = await NewAppAsync();
        var gone = await api.NewWebhookAsync(receiver.Url("/gone"), "campaign.*");
        await api.NewWebhookAsync(receiver.Url("/ops"), "webhook.*");
        await api.HappenAsync();
        await service.DispatchAsync();
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Single(receiver.On("/gone"));
        var now = await GetAsync(api, gone);
        Assert.Equal((false, "gone"), (now.GetProperty("enabled").GetBoolean(), now.GetProperty("disabledReason").GetString()));
        var told = Assert.Single(receiver.On("/ops"));
        Assert.Equal(("webhook.disabled", gone.Id()), (told.Type, told.Json.GetProperty("data").GetProperty("id").GetString()));
        Assert.DoesNotContain("whsec_", told.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_takes_nothing_for_five_days_is_disabled_and_enabled_again_begins_anew()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", 500);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.True((await GetAsync(api, webhook)).GetProperty("enabled").GetBoolean());
        // Five days of failure, the last of it an hour ago.
        await service.ExecuteAsync("UPDATE webhooks SET failing_since = clock_timestamp() - interval '5 days 1 minute', failed_at = clock_timestamp() - interval '1 hour' WHERE id = $1", webhook.Id());
        await service.MakeDueAsync(webhook);
        await service.DispatchAsync();
        var now = await GetAsync(api, webhook);
        Assert.Equal((false, "failing"), (now.GetProperty("enabled").GetBoolean(), now.GetProperty("disabledReason").GetString()));
        Assert.Equal(0, await WaitingAsync(webhook));
        Assert.Contains("webhook.disabled", (await api.EventsAsync()).Types());

        var again = (await api.PutAsync($"/api/webhooks/{webhook.Id()}", new { enabled = true })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((true, JsonValueKind.Null, JsonValueKind.Null), (again.GetProperty("enabled").GetBoolean(), again.GetProperty("disabledReason").ValueKind, again.GetProperty("failingSince").ValueKind));
        receiver.Answer("/", 204);
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Equal(3, receiver.Received.Count);
    }

    [Fact]
    public async Task Days_without_anything_to_send_are_no_days_of_failure()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", 500);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await service.ExecuteAsync("UPDATE webhooks SET failing_since = clock_timestamp() - interval '9 days', failed_at = clock_timestamp() - interval '3 days' WHERE id = $1", webhook.Id());
        await api.HappenAsync();
        await service.DispatchAsync();
        var now = await GetAsync(api, webhook);
        Assert.True(now.GetProperty("enabled").GetBoolean());
        Assert.InRange(now.GetProperty("failingSince").GetDateTimeOffset(), TimeProvider.System.GetUtcNow().AddMinutes(-5), TimeProvider.System.GetUtcNow().AddMinutes(5));
    }

    [Fact]
    public async Task While_a_secret_is_changed_the_old_one_and_the_new_one_both_verify()
    {
        await using var receiver = await Receiver.StartAsync();
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        var rotated = (await api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.NotEqual(webhook.Secret(), rotated.Secret());
        await api.HappenAsync();
        await service.DispatchAsync();
        var both = receiver.Received[0];
        Assert.Equal($"{SignatureOf(rotated.Secret(), both)} {SignatureOf(webhook.Secret(), both)}", both.Signature);
        await service.ExecuteAsync("UPDATE webhooks SET old_secret_until = clock_timestamp() WHERE id = $1", webhook.Id());
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Equal(SignatureOf(rotated.Secret(), receiver.Received[1]), receiver.Received[1].Signature);
        // One that was stolen is dropped at once.
        var third = (await api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret", new { keepOldForHours = 0 })).ShouldBe(HttpStatusCode.OK).Data;
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Equal(SignatureOf(third.Secret(), receiver.Received[2]), receiver.Received[2].Signature);
        (await api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret", new { keepOldForHours = 169 })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task A_time_is_replayed_with_the_ids_of_then_and_only_what_is_wanted()
    {
        await using var receiver = await Receiver.StartAsync();
        var api = await NewAppAsync();
        for (var i = 0; i < 3; i++) await api.HappenAsync();
        await service.DispatchAsync();
        var events = await api.EventsAsync();
        var (wants, other) = (await api.NewWebhookAsync(receiver.Url("/wants"), "campaign.*"), await api.NewWebhookAsync(receiver.Url("/other"), "feed_item.*"));
        var (from, to) = (events[1].GetProperty("timestamp").GetString(), events[2].GetProperty("timestamp").GetString());
        Assert.Equal((2, JsonValueKind.Null), Replayed(await api.PostAsync($"/api/webhooks/{wants.Id()}/replay", new { from, to })));
        Assert.Equal((0, JsonValueKind.Null), Replayed(await api.PostAsync($"/api/webhooks/{other.Id()}/replay", new { from, to })));
        await service.DispatchAsync();
        Assert.Equal(events.Skip(1).Select(e => e.GetProperty("id").GetString()).Order(StringComparer.Ordinal), receiver.Received.Select(r => r.Id).Order(StringComparer.Ordinal));
        // Again: it is sent again.
        await api.PostAsync($"/api/webhooks/{wants.Id()}/replay", new { from, to });
        await service.DispatchAsync();
        Assert.Equal(4, receiver.On("/wants").Count);
        (await api.PostAsync($"/api/webhooks/{wants.Id()}/replay", new { from = to, to = from })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await api.PostAsync($"/api/webhooks/{wants.Id()}/replay", new { from })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        await api.PutAsync($"/api/webhooks/{wants.Id()}", new { enabled = false });
        (await api.PostAsync($"/api/webhooks/{wants.Id()}/replay", new { from, to })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
    }

    [Fact]
    public async Task Disabled_it_gets_nothing_and_what_waited_is_dropped()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", 500);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        await api.PutAsync($"/api/webhooks/{webhook.Id()}", new { enabled = false });
        await api.HappenAsync();
        await service.MakeDueAsync(webhook);
        await service.DispatchAsync();
        await api.PutAsync($"/api/webhooks/{webhook.Id()}", new { enabled = true });
        await service.DispatchAsync();
        Assert.Single(receiver.Received);
    }

    [Fact]
    public async Task A_try_is_answered_with_what_came_of_it_and_leaves_no_trace()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/", async http =>
        {
            http.Response.StatusCode = 418;
            await http.Response.WriteAsync("no coffee here");
        });
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        var tried = (await api.PostAsync($"/api/webhooks/{webhook.Id()}/test")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((false, 418, "no coffee here"), (tried.GetProperty("succeeded").GetBoolean(), tried.GetProperty("statusCode").GetInt32(), tried.GetProperty("answer").GetString()));
        var came = Assert.Single(receiver.Received);
        Assert.Equal(("webhook.test", SignatureOf(webhook.Secret(), came)), (came.Type, came.Signature));
        await service.DispatchAsync();
        Assert.Single(receiver.Received);
        Assert.Empty(await api.EventsAsync());
    }

    [Fact]
    public async Task One_event_that_cannot_be_taken_does_not_hold_up_the_next_of_its_webhook()
    {
        await using var receiver = await Receiver.StartAsync();
        string? poison = null;
        var release = new TaskCompletionSource();
        receiver.Answer("/", async http =>
        {
            if (http.Request.Headers["webhook-id"] == (Interlocked.CompareExchange(ref poison, http.Request.Headers["webhook-id"], null) ?? poison)) await release.Task.WaitAsync(http.RequestAborted);
        });
        var api = await NewAppAsync();
        await api.NewWebhookAsync(receiver.Url(), "*");
        for (var i = 0; i < 20; i++) await api.HappenAsync();
        await service.SequenceAsync();
        var dispatcher = service.Services.GetRequiredService<WebhookDispatcher>();
        await Eventually.HoldsAsync(async () =>
        {
            await dispatcher.TurnAsync(CancellationToken.None);
            return receiver.Received.Count == 20;
        });
        release.SetResult();
        await dispatcher.SettleAsync(CancellationToken.None);
        Assert.Equal(20, receiver.Received.Select(r => r.Id).Distinct().Count());
    }

    /// <summary>With the real loop: those that are dead or slow have as many events waiting as the healthy one, and it gets all of its own long before theirs have timed out.</summary>
    [Fact]
    public async Task Dead_slow_and_failing_webhooks_do_not_delay_a_healthy_one()
    {
        const int events = 200;
        await using var receiver = await Receiver.StartAsync();
        var never = new TaskCompletionSource();
        var givenUp = 0;
        receiver.Answer("/hangs", async http =>
        {
            using var end = http.RequestAborted.Register(() => Interlocked.Increment(ref givenUp));
            await never.Task.WaitAsync(http.RequestAborted);
        });
        receiver.Answer("/fails", 500);
        receiver.Answer("/resets", http =>
        {
            http.Abort();
            return Task.CompletedTask;
        });
        var api = await NewAppAsync();
        for (var i = 0; i < 10; i++)
        {
            foreach (var path in new[] { "/hangs", "/fails", "/resets" }) await api.NewWebhookAsync(receiver.Url(path), "*");
        }
        await api.NewWebhookAsync("http://127.0.0.1:1/", "*");
        await api.NewWebhookAsync(receiver.Url("/healthy"), "*");
        for (var i = 0; i < events; i++) await EventAsync(api, i);
        // One of its own: what was stopped does not go on.
        using var dispatcher = ActivatorUtilities.CreateInstance<WebhookDispatcher>(service.Services);
        await service.SequenceAsync();
        await dispatcher.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<int>("SELECT 1") == 1 && receiver.On("/healthy").Count >= events);
        Assert.Equal(0, Volatile.Read(ref givenUp));
        never.SetResult();
        await dispatcher.StopAsync(CancellationToken.None);
        Assert.Equal(events, receiver.On("/healthy").Select(r => r.Id).Distinct().Count());
        await service.ExecuteAsync("DELETE FROM webhook_deliveries");
    }

    [Fact]
    public async Task A_hundred_thousand_that_wait_for_a_dead_webhook_do_not_hold_up_another()
    {
        const int waiting = 100_000;
        await using var receiver = await Receiver.StartAsync();
        var never = new TaskCompletionSource();
        receiver.Answer("/dead", http => never.Task.WaitAsync(http.RequestAborted));
        var api = await NewAppAsync();
        var dead = await api.NewWebhookAsync(receiver.Url("/dead"), "*");
        await service.ExecuteAsync("""
            WITH e AS (
              INSERT INTO events (app_no, seq, id, type, data, at)
              SELECT w.app_no, nextval('event_seq'), next_event_id(), 7, '{"i": 1}', clock_timestamp() FROM webhooks w, generate_series(1, $2) WHERE w.id = $1 RETURNING app_no, seq)
            INSERT INTO webhook_deliveries (webhook_no, seq, app_no, due_at) SELECT w.no, e.seq, e.app_no, clock_timestamp() FROM e, webhooks w WHERE w.id = $1
            """, dead.Id(), waiting);
        await api.NewWebhookAsync(receiver.Url("/healthy"), "*");
        using var dispatcher = ActivatorUtilities.CreateInstance<WebhookDispatcher>(service.Services);
        await dispatcher.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<int>("SELECT 1") == 1 && receiver.On("/dead").Count > 0);
        var start = Stopwatch.GetTimestamp();
        await api.HappenAsync();
        await service.SequenceAsync();
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<int>("SELECT 1") == 1 && receiver.On("/healthy").Count > 0);
        var took = Stopwatch.GetElapsedTime(start);
        never.SetResult();
        await dispatcher.StopAsync(CancellationToken.None);
        Assert.True(took < TimeSpan.FromSeconds(10), $"the healthy one waited {took}");
        // Disabling it drops them.
        (await api.PutAsync($"/api/webhooks/{dead.Id()}", new { enabled = false })).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await WaitingAsync(dead));
    }

    /// <summary>A host that stops is told again when it is disposed of, and disposes of everything as soon as the second stop is over.</summary>
    [Fact]
    public async Task Told_twice_to_stop_neither_is_over_before_what_is_under_way()
    {
        await using var receiver = await Receiver.StartAsync();
        var answered = new TaskCompletionSource();
        var called = new TaskCompletionSource();
        receiver.Answer("/slow", async http =>
        {
            called.TrySetResult();
            await answered.Task.WaitAsync(http.RequestAborted);
        });
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url("/slow"), "campaign.cancelled");
        await api.HappenAsync();
        using var dispatcher = ActivatorUtilities.CreateInstance<WebhookDispatcher>(service.Services);
        await service.SequenceAsync();
        await dispatcher.StartAsync(CancellationToken.None);
        await called.Task;
        Task[] stops = [dispatcher.StopAsync(CancellationToken.None), dispatcher.StopAsync(CancellationToken.None)];
        Assert.All(stops, stop => Assert.False(stop.IsCompleted));
        answered.SetResult();
        await Task.WhenAll(stops);
        Assert.True(Assert.Single(await api.AttemptsAsync(webhook.Id())).GetProperty("succeeded").GetBoolean());
    }

    private Task<long> WaitingAsync(JsonElement webhook) =>
        service.ScalarAsync<long>("SELECT count(*) FROM webhook_deliveries d JOIN webhooks w ON w.no = d.webhook_no WHERE w.id = $1", webhook.Id());

    private async Task EventAsync(Api api, int i)
    {
        await using var connection = await service.Db.OpenConnectionAsync();
        await CampaignService.Webhooks.EventLog.AppendAsync(connection, await service.ScalarAsync<int>("SELECT no FROM apps WHERE id = $1", api.Http.DefaultRequestHeaders.GetValues("appId").Single()), EventType.CampaignPaused, new { i }, null, CancellationToken.None);
    }

    private Task<Api> NewAppAsync() => service.NewAppAsync($"d-{Guid.NewGuid():N}");

    private static async Task<JsonElement> GetAsync(Api api, JsonElement webhook) => (await api.GetAsync($"/api/webhooks/{webhook.Id()}")).ShouldBe(HttpStatusCode.OK).Data;

    private static (int, JsonValueKind) Replayed(Answer answer) => (answer.ShouldBe(HttpStatusCode.OK).Data.GetProperty("queued").GetInt32(), answer.Data.GetProperty("next").ValueKind);

    /// <summary>As the specification says, and not by the code under test.</summary>
    private static string SignatureOf(string secret, ReceivedEvent came) => "v1," + Convert.ToBase64String(System.Security.Cryptography.HMACSHA256.HashData(
        Convert.FromBase64String(secret["whsec_".Length..]), Encoding.UTF8.GetBytes($"{came.Id}.{came.Timestamp}.{came.Body}")));
}
