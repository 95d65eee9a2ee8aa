using System.Net;
using CampaignService.Channels;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.External;

/// <summary>When a provider is taken to be down, and how it is found out that it is not.</summary>
public sealed class CircuitTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private static readonly SendResult Fault = SendResult.Retry(FailureCategory.Transient, "HTTP 500"), Gone = SendResult.Rejected(FailureCategory.AddressGone, "HTTP 410");

    private readonly LaterClock _clock = new();
    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync() => await _sink.DisposeAsync();

    [Fact]
    public void One_message_that_always_fails_says_nothing_of_the_provider_but_three_that_last_do()
    {
        using var line = NewLine();
        for (var attempt = 0; attempt < 30; attempt++)
        {
            Assert.False(Hears(line, Fault, "poison").IsDown);
            _clock.Later += TimeSpan.FromSeconds(2);
        }
        Assert.False(Hears(line, Fault, "second").IsDown);
        Assert.True(Hears(line, Fault, "third").IsDown);
        // Nobody there is nobody there, whoever it was for.
        using var other = NewLine();
        Assert.Equal(19, Enumerable.Range(0, 30).TakeWhile(_ => !Hears(other, SendResult.Retry(FailureCategory.Unavailable, "refused"), "one").IsDown).Count());
    }

    [Fact]
    public void Told_of_everybody_that_they_are_gone_it_takes_it_for_an_address_of_the_provider()
    {
        using var line = NewLine();
        for (var i = 0; i < 19; i++) Assert.Equal(SendOutcome.Rejected, Hears(line, Gone, $"u{i}").Result.Outcome);
        Hears(line, SendResult.Sent, "taken");
        for (var i = 20; i < 39; i++) Assert.Equal(SendOutcome.Rejected, Hears(line, Gone, $"u{i}").Result.Outcome);
        Assert.Equal((SendOutcome.Retry, FailureCategory.Unavailable), (Hears(line, Gone, "u39").Result.Outcome, Hears(line, Gone, "u40").Result.Category));
    }

    [Fact]
    public async Task Whom_a_provider_called_gone_while_it_said_so_of_everybody_get_their_messages_when_it_is_mended()
    {
        _sink.Answer = (call, http) =>
        {
            http.Response.StatusCode = call.Users.Contains("u0000") ? 410 : 200;
            return Task.CompletedTask;
        };
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 1 });
        await Api.SendToAsync(template, 2);
        await service.DeliverAsync();

        _sink.AnswerWith(410);
        var id = await Api.SendToAsync(template, 60);
        await service.DeliverAsync();
        Assert.Equal(("paused", 1L), (await Api.StatusAsync(id), await OpenAsync(channel)));
        var counts = await Api.CountsAsync(id);
        Assert.Equal((19, 40, 1), (counts["failed"], counts["pending"], counts["skipped"]));

        _sink.AnswerWith(200);
        await Eventually.HoldsAsync(async () =>
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            return await Api.StatusAsync(id) == "partially_failed";
        });
        Assert.Equal((40, 19), ((await Api.CountsAsync(id))["delivered"], (await Api.CountsAsync(id))["failed"]));
        await Api.DoAsync(id, "retry-failed");
        await service.DeliverAsync();
        // Only who was gone before, when others were not, still is.
        Assert.Equal((59, "address_gone"), ((await Api.CountsAsync(id))["delivered"], (await Api.MessageAsync(id, "u0000")).GetProperty("reason").GetString()));
    }

    [Fact]
    public async Task Probes_try_others_than_the_message_that_is_at_fault_itself()
    {
        _sink.AnswerWith(500);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 1 });
        var id = await Api.SendToAsync(template, 40);
        await service.DeliverAsync();
        Assert.Equal("paused", await Api.StatusAsync(id));
        _sink.Answer = (call, http) =>
        {
            http.Response.StatusCode = call.Users.Contains("u0000") ? 500 : 200;
            return Task.CompletedTask;
        };
        // The first probe is of somebody who was not tried yet.
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal(0, await OpenAsync(channel));
        await Eventually.HoldsAsync(async () =>
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            return await Api.StatusAsync(id) == "partially_failed";
        });
        Assert.Equal((39, 1), ((await Api.CountsAsync(id))["delivered"], (await Api.CountsAsync(id))["failed"]));
    }

    [Fact]
    public async Task Where_nothing_else_is_left_those_at_fault_come_to_their_end_by_probes()
    {
        _sink.AnswerWith(500);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 1 });
        var id = await Api.SendToAsync(template, 20);
        await service.DeliverAsync();
        Assert.Equal((20, "paused"), (_sink.Calls.Count, await Api.StatusAsync(id)));
        await service.ExecuteAsync("UPDATE recipient_exceptions SET attempts = 4 WHERE batch_id = $1", await service.BatchOfAsync(id));
        await Eventually.HoldsAsync(async () =>
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            return await Api.StatusAsync(id) == "failed";
        });
        Assert.Equal(20 + 20, _sink.Calls.Count);
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal(0, await OpenAsync(channel));
    }

    [Fact]
    public async Task While_a_call_that_is_to_find_out_hangs_there_is_no_other_and_the_channel_stays_down()
    {
        _sink.AnswerWith(500);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 1 });
        var id = await Api.SendToAsync(template, 30);
        await service.DeliverAsync();
        Assert.Equal(1, await OpenAsync(channel));
        var (begun, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        _sink.Answer = async (_, http) =>
        {
            begun.TrySetResult();
            await answer.Task;
            http.Response.StatusCode = 500;
        };
        var before = _sink.Calls.Count;
        await service.PassTimeAsync();
        var trying = service.DeliverAsync();
        await begun.Task;
        // The only chunk is in hand.
        Assert.True(await service.ScalarAsync<bool>("SELECT next_probe_at > clock_timestamp() + interval '12 seconds' FROM channel_circuits WHERE channel_no = (SELECT no FROM channels WHERE channel_id = $1)", channel));
        await service.PassTimeAsync();
        await Eventually.HoldsAsync(async () =>
        {
            await service.Worker.TurnAsync(everything: true, CancellationToken.None);
            return await service.ScalarAsync<bool>("SELECT next_probe_at > clock_timestamp() FROM channel_circuits WHERE channel_no = (SELECT no FROM channels WHERE channel_id = $1)", channel);
        });
        answer.SetResult();
        await trying;
        Assert.Equal((1, "paused", before + 1), (await OpenAsync(channel), await Api.StatusAsync(id), _sink.Calls.Count));
    }

    [Fact]
    public async Task A_campaign_that_somebody_works_on_holds_up_neither_other_channels_nor_others_on_its_own()
    {
        _sink.AnswerWith(404);
        await using var well = await Sink.StartAsync();
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var (other, _) = await Api.NewWebhookAsync(well.Url);
        var (locked, beside) = (await Api.SendToAsync(template, 30), await Api.SendToAsync(template, 30));
        var id = await Api.SendToAsync(other, 30);
        await using (var connection = await service.Db.OpenConnectionAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await using var command = connection.CreateCommand();
            command.CommandText = "SELECT 1 FROM batches WHERE id = $1 FOR UPDATE";
            command.Parameters.Add(new() { Value = await service.BatchOfAsync(locked) });
            await command.ExecuteScalarAsync();
            await service.DeliverAsync();
            Assert.Equal(("sending", "paused", "completed"), (await Api.StatusAsync(locked), await Api.StatusAsync(beside), await Api.StatusAsync(id)));
        }
        await service.DeliverAsync();
        Assert.Equal("paused", await Api.StatusAsync(locked));
    }

    [Fact]
    public async Task What_is_direct_is_not_paused_and_goes_on_when_the_provider_does()
    {
        _sink.AnswerWith(404);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url);
        await Api.SendToAsync(template, 30);
        await service.DeliverAsync();
        Assert.Equal(1, await OpenAsync(channel));
        var sent = (await Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "dora" }, variables = new { dora = new { name = "Dora" } } })).ShouldBe(HttpStatusCode.OK);
        await service.DeliverAsync();
        Assert.DoesNotContain(_sink.Calls, c => c.Users.Contains("dora"));
        Assert.Equal("sending", await StatusAsync());
        _sink.AnswerWith(200);
        await Eventually.HoldsAsync(async () =>
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            return await StatusAsync() == "completed";
        });
        Assert.Equal(1, _sink.Taken["dora"]);

        async Task<string?> StatusAsync() => (await Api.GetAsync($"/api/notifications/{sent.Data.GetProperty("notificationId").GetString()}")).Data.GetProperty("status").GetString();
    }

    [Fact]
    public async Task Past_its_stopAt_nothing_is_sent_to_find_out_and_it_waits_for_somebody()
    {
        _sink.AnswerWith(404);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.DraftToAsync(template, 30);
        await Api.DoAsync(id, "send", new { stopAt = TimeProvider.System.GetUtcNow().AddHours(1) });
        await service.DeliverAsync();
        Assert.Equal(("paused", 1L), (await Api.StatusAsync(id), await OpenAsync(channel)));
        await service.PassStopAtAsync(id);
        var before = _sink.Calls.Count;
        await service.PassTimeAsync();
        await service.DeliverAsync();
        await service.DeliverAsync();
        Assert.Equal((before, "paused", 0L), (_sink.Calls.Count, await Api.StatusAsync(id), await OpenAsync(channel)));
        Assert.True(await service.ScalarAsync<bool>("SELECT held_for IS NULL FROM batches WHERE id = $1", await service.BatchOfAsync(id)));
    }

    [Fact]
    public async Task What_waits_behind_a_limit_is_not_late()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { ratePerSecond = 0.05 });
        var (first, second) = (await Api.SendToAsync(template, 30), await Api.SendToAsync(template, 30));
        await service.ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '1 minute' WHERE state = 2");
        using var worker = Microsoft.Extensions.DependencyInjection.ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await worker.StartAsync(CancellationToken.None);
        try
        {
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM batches WHERE state = 2 AND progress_at < clock_timestamp() - interval '50 seconds'") == 0);
            Assert.Equal(("sending", "sending"), (await Api.StatusAsync(first), await Api.StatusAsync(second)));
        }
        finally
        {
            await worker.StopAsync(CancellationToken.None);
        }
        foreach (var id in new[] { first, second }) await Api.DoAsync(id, "stop");
    }

    [Fact]
    public async Task A_channel_whose_secrets_cannot_be_opened_stops_no_other()
    {
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url);
        await service.ExecuteAsync("UPDATE channels SET sealed = '\\x00'::bytea WHERE channel_id = $1", channel);
        var (other, _) = await Api.NewWebhookAsync(_sink.Url);
        var (stuck, id) = (await Api.SendToAsync(template, 3), await Api.SendToAsync(other, 3));
        await service.DeliverAsync();
        Assert.Equal(("sending", "completed"), (await Api.StatusAsync(stuck), await Api.StatusAsync(id)));
        await service.ExecuteAsync("UPDATE channels SET sealed = NULL WHERE channel_id = $1", channel);
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(stuck));
    }

    [Fact]
    public async Task A_slot_whose_time_is_over_is_lost()
    {
        _clock.Later = TimeSpan.Zero;
        using var slots = new RateSlots(service.Db, $"channel:{Guid.NewGuid()}", _clock) { PerSecond = 1_000 };
        var first = await slots.TakeAsync(1, CancellationToken.None);
        _clock.Later = TimeSpan.FromSeconds(10);
        // Of the fifty that were taken at once the others are not used; the database's time has not gone on.
        Assert.True(await slots.TakeAsync(1, CancellationToken.None) - first >= TimeSpan.FromMilliseconds(50));
    }

    [Fact]
    public async Task Of_four_let_in_one_is_of_those_without_precedence()
    {
        var permits = new Permits(1);
        await permits.TakeAsync(first: true);
        var (first, other) = (Enumerable.Range(0, 8).Select(_ => permits.TakeAsync(first: true)).ToArray(), permits.TakeAsync(first: false));
        for (var i = 0; i < 4; i++) permits.Give();
        Assert.Equal((3, true), (first.Count(t => t.IsCompleted), other.IsCompleted));
    }

    private static (bool IsDown, SendResult Result) Hears(ChannelLine line, SendResult result, string person) => (line.Heard(ref result, [new OutgoingMessage("", person, default, null!)]), result);

    private ChannelLine NewLine()
    {
        var settings = new ChannelSettings(_sink.Url, [], IsSigned: false, 10, 10, null, 1, UncertainPolicy.Resend);
        return new ChannelLine(new ChannelRoute(1, "c", ChannelType.Webhook, Enabled: true, settings, ChannelSecrets.None), null!, new RateSlots(service.Db, "channel:none", _clock), new ExternalSettings(), _clock);
    }

    private Task<long> OpenAsync(string channel) => service.ScalarAsync<long>("SELECT count(*) FROM channel_circuits WHERE channel_no = (SELECT no FROM channels WHERE channel_id = $1)", channel);

    /// <summary>The time, and as much later as a test says.</summary>
    private sealed class LaterClock : TimeProvider
    {
        public TimeSpan Later { get; set; }

        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Later;

        public override long GetTimestamp() => System.GetTimestamp() + (long)(Later.TotalSeconds * TimestampFrequency);
    }
}
