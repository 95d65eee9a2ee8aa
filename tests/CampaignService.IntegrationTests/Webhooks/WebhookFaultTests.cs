using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using CampaignService.Webhooks;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>What goes wrong with one webhook, or meets something else at a bad moment, and must not cost the others anything.</summary>
public sealed class WebhookFaultTests(WebhookService service) : IClassFixture<WebhookService>
{
    private WebhookDispatcher Dispatcher => service.Services.GetRequiredService<WebhookDispatcher>();

    [Fact]
    public async Task A_server_that_answers_rubbish_with_NUL_in_it_does_not_stop_the_others()
    {
        await using var receiver = await Receiver.StartAsync();
        using var rubbish = new TcpListener(IPAddress.Loopback, 0);
        rubbish.Start();
        var answering = AnswerAsync(rubbish, "HTT\0P/\u00d8 rubbish\0" + new string('x', 600) + "\r\n\r\n");
        var api = await NewAppAsync();
        var bad = await api.NewWebhookAsync($"http://{rubbish.LocalEndpoint}/", "*");
        var good = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.DispatchAsync();
        await answering;
        var attempt = Assert.Single(await api.AttemptsAsync(bad.Id()));
        Assert.Contains("rubbish", attempt.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.DoesNotContain('\0', attempt.GetProperty("error").GetString()!);
        Assert.Single(await api.AttemptsAsync(good.Id()));
        Assert.Equal((1, 0), (await WaitingAsync(bad), await WaitingAsync(good)));
    }

    [Fact]
    public async Task What_the_database_does_not_take_of_an_answer_is_left_out_and_the_rest_is_written_down()
    {
        await using var receiver = await Receiver.StartAsync();
        receiver.Answer("/poison", http => http.Response.WriteAsync("poison"));
        var api = await NewAppAsync();
        var (poison, good) = (await api.NewWebhookAsync(receiver.Url("/poison"), "*"), await api.NewWebhookAsync(receiver.Url("/good"), "*"));
        await api.HappenAsync();
        await service.ExecuteAsync("ALTER TABLE webhook_attempts ADD CONSTRAINT taken CHECK (answer <> 'poison')");
        try
        {
            await service.DispatchAsync();
        }
        finally
        {
            await service.ExecuteAsync("ALTER TABLE webhook_attempts DROP CONSTRAINT taken");
        }
        foreach (var webhook in new[] { poison, good })
        {
            var attempt = Assert.Single(await api.AttemptsAsync(webhook.Id()));
            Assert.Equal((true, JsonValueKind.Null), (attempt.GetProperty("succeeded").GetBoolean(), attempt.GetProperty("answer").ValueKind));
            Assert.Equal(0, await WaitingAsync(webhook));
        }
    }

    [Fact]
    public async Task In_a_restored_copy_nobody_is_called_until_enabled_again_and_who_was_ahead_of_it_misses_nothing()
    {
        await using var receiver = await Receiver.StartAsync();
        var api = await NewAppAsync();
        await api.HappenAsync();
        await service.SequenceAsync();
        await api.HappenAsync();
        await service.SequenceAsync();
        var ahead = (await api.GetAsync("/api/events")).Json.GetProperty("meta").GetProperty("next").GetString();
        // The backup is from between the two, and an event waits in it for its webhook.
        await service.ExecuteAsync("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)");
        await service.ExecuteAsync("SELECT setval('event_seq', (SELECT max(seq) FROM events))");
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await service.ExecuteAsync("INSERT INTO webhook_deliveries (webhook_no, seq, app_no, due_at) SELECT w.no, e.seq, e.app_no, clock_timestamp() FROM webhooks w JOIN events e ON e.app_no = w.app_no WHERE w.id = $1", webhook.Id());
        await service.ExecuteAsync("UPDATE delivery_pulse SET system_identifier = 1");
        // Also by who is quicker than the one who looks around.
        await api.HappenAsync();
        await service.DispatchAsync();
        await service.Services.GetRequiredService<DeliveryPulse>().CheckCopyAsync(CancellationToken.None);
        await service.DispatchAsync();
        Assert.Empty(receiver.Received);
        Assert.Equal((false, "restored"), ((await GetAsync(api, webhook)).GetProperty("enabled").GetBoolean(), (await GetAsync(api, webhook)).GetProperty("disabledReason").GetString()));
        Assert.Equal(0, await WaitingAsync(webhook));
        Assert.Equal(["campaign.cancelled", "webhook.disabled"], (await api.EventsAsync(ahead)).Types());
        (await api.PutAsync($"/api/webhooks/{webhook.Id()}", new { enabled = true })).ShouldBe(HttpStatusCode.OK);
        await api.HappenAsync();
        await service.DispatchAsync();
        Assert.Single(receiver.Received);
    }

    [Fact]
    public async Task What_is_replayed_while_it_is_being_sent_is_sent_again()
    {
        await using var receiver = await Receiver.StartAsync();
        var release = Hold(receiver, 204);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.SequenceAsync();
        await Dispatcher.TurnAsync(CancellationToken.None);
        Assert.Equal(1, (await api.PostAsync($"/api/webhooks/{webhook.Id()}/replay", new { from = "2020-01-01T00:00:00Z", to = "2999-01-01T00:00:00Z" })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("queued").GetInt32());
        release.SetResult();
        await Dispatcher.SettleAsync(CancellationToken.None);
        await service.DispatchAsync();
        Assert.Equal(2, receiver.Received.Count);
        Assert.Equal(0, await WaitingAsync(webhook));
    }

    [Fact]
    public async Task Who_repeats_a_change_of_secret_keeps_the_one_that_the_receiver_has()
    {
        await using var receiver = await Receiver.StartAsync();
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        // The first answer is lost.
        await api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret");
        var rotated = (await api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret")).ShouldBe(HttpStatusCode.OK).Data;
        await api.HappenAsync();
        await service.DispatchAsync();
        var came = Assert.Single(receiver.Received);
        Assert.Equal(WebhookSecret.Sign([rotated.Secret(), webhook.Secret()], came.Id, DateTimeOffset.FromUnixTimeSeconds(long.Parse(came.Timestamp, System.Globalization.CultureInfo.InvariantCulture)), Encoding.UTF8.GetBytes(came.Body)), came.Signature);
    }

    [Fact]
    public async Task Of_two_who_change_a_secret_at_once_one_is_told()
    {
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync("https://example.com/", "*");
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE", connection) { Parameters = { new() { Value = webhook.Id() } } }) await hold.ExecuteScalarAsync();
        var both = Enumerable.Range(0, 2).Select(_ => api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret")).ToArray();
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 2);
        await transaction.CommitAsync();
        var answers = await Task.WhenAll(both);
        Assert.Single(answers, a => a.Status == HttpStatusCode.OK);
        answers.Single(a => a.Status != HttpStatusCode.OK).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
    }

    [Fact]
    public async Task What_an_address_answers_that_was_left_says_nothing_of_the_new_one()
    {
        await using var receiver = await Receiver.StartAsync();
        var release = Hold(receiver, 410);
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await api.HappenAsync();
        await service.SequenceAsync();
        await Dispatcher.TurnAsync(CancellationToken.None);
        await api.PutAsync($"/api/webhooks/{webhook.Id()}", new { url = receiver.Url("/new") });
        release.SetResult();
        await Dispatcher.SettleAsync(CancellationToken.None);
        var now = await GetAsync(api, webhook);
        Assert.Equal((true, JsonValueKind.Null), (now.GetProperty("enabled").GetBoolean(), now.GetProperty("failingSince").ValueKind));
    }

    [Fact]
    public async Task A_secret_that_cannot_be_opened_is_a_failed_attempt_that_says_so_and_comes_to_an_end()
    {
        await using var receiver = await Receiver.StartAsync();
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "*");
        await service.ExecuteAsync("UPDATE webhooks SET secret = '\\x00' WHERE id = $1", webhook.Id());
        await api.HappenAsync();
        await service.DispatchAsync();
        var attempt = Assert.Single(await api.AttemptsAsync(webhook.Id()));
        Assert.Contains("secret cannot be opened", attempt.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.NotEqual(JsonValueKind.Null, attempt.GetProperty("nextAttemptAt").ValueKind);
        // It is no fault of the receiver's.
        Assert.Equal(JsonValueKind.Null, (await GetAsync(api, webhook)).GetProperty("failingSince").ValueKind);
        for (var again = 0; again < 7; again++)
        {
            await service.MakeDueAsync(webhook);
            await service.DispatchAsync();
        }
        Assert.Equal(8, (await api.AttemptsAsync(webhook.Id())).Length);
        Assert.Equal(0, await WaitingAsync(webhook));
        Assert.Empty(receiver.Received);
    }

    [Fact]
    public async Task What_is_said_of_somebody_who_is_erased_while_it_is_said_is_not_kept()
    {
        await using var receiver = await Receiver.StartAsync();
        var release = Hold(receiver, 500, "no zed-the-person here");
        var api = await NewAppAsync();
        var webhook = await api.NewWebhookAsync(receiver.Url(), "feed_item.read");
        var template = await api.NewTemplateAsync(variableSchema: []);
        await api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "zed-the-person" } });
        await service.Client([.. api.Http.DefaultRequestHeaders.Select(h => (h.Key, h.Value.Single())), ("onBehalfOf", "zed-the-person")]).PostAsync("/api/notification-feed/read-all");
        await service.SequenceAsync();
        await Dispatcher.TurnAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<int>("SELECT 1") == 1 && receiver.Received.Count == 1);
        (await api.DeleteAsync("/api/users/zed-the-person")).ShouldBe(HttpStatusCode.OK);
        release.SetResult();
        await Dispatcher.SettleAsync(CancellationToken.None);
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM webhook_attempts a JOIN webhooks w ON w.no = a.webhook_no WHERE w.id = $1 AND status = 500", webhook.Id()));
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM webhook_attempts t WHERE t::text LIKE '%zed-the-person%'"));
    }

    [Fact]
    public async Task An_erasure_under_way_does_not_keep_other_events_out_of_the_log()
    {
        var (theirs, ours) = (await NewAppAsync(), await NewAppAsync());
        await theirs.HappenAsync();
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT 1 FROM outbox_events FOR UPDATE", connection)) await hold.ExecuteNonQueryAsync();
        await ours.HappenAsync();
        await service.SequenceAsync().WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Single(await ours.EventsAsync());
        Assert.Empty(await theirs.EventsAsync());
        await transaction.CommitAsync();
        await service.SequenceAsync();
        Assert.Single(await theirs.EventsAsync());
    }

    private static TaskCompletionSource Hold(Receiver receiver, int status, string answer = "")
    {
        var release = new TaskCompletionSource();
        receiver.Answer("/", async http =>
        {
            await release.Task.WaitAsync(http.RequestAborted);
            http.Response.StatusCode = status;
            if (answer.Length > 0) await http.Response.WriteAsync(answer);
        });
        return release;
    }

    private static async Task AnswerAsync(TcpListener listener, string answer)
    {
        using var socket = await listener.AcceptSocketAsync();
        await socket.ReceiveAsync(new byte[16_384]);
        await socket.SendAsync(Encoding.Latin1.GetBytes(answer));
    }

    private async Task<int> WaitingAsync(JsonElement webhook) =>
        await service.ScalarAsync<int>("SELECT count(*)::integer FROM webhook_deliveries d JOIN webhooks w ON w.no = d.webhook_no WHERE w.id = $1", webhook.Id());

    private Task<Api> NewAppAsync() => service.NewAppAsync($"f-{Guid.NewGuid():N}");

    private static async Task<JsonElement> GetAsync(Api api, JsonElement webhook) => (await api.GetAsync($"/api/webhooks/{webhook.Id()}")).ShouldBe(HttpStatusCode.OK).Data;
}
