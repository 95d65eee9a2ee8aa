using System.Text.Json;
using CampaignService.Delivery;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.External;

/// <summary>What becomes of messages whose worker is gone, and of those of a worker that is paused, stopped or asked for its chunk.</summary>
public sealed class TakeoverTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync()
    {
        _release.TrySetResult();
        await _sink.DisposeAsync();
    }

    [Theory]
    [InlineData("resend")]
    [InlineData("hold")]
    public async Task What_a_dead_worker_may_have_sent_is_uncertain_and_nobody_else_is(string policy)
    {
        // Everybody but the first 40 hangs: those calls are under way when the worker dies.
        _sink.Answer = (call, _) => string.CompareOrdinal(call.Users.Single(), "u0040") < 0 ? Task.CompletedTask : _release.Task;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { onUncertain = policy, maxConcurrency = 20, timeoutSeconds = 30 });
        var id = await Api.SendToAsync(template, 480);
        var itsTime = new AheadClock();
        using var frozen = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services, (TimeProvider)itsTime);
        var dying = frozen.DrainAsync(CancellationToken.None);
        await WrittenAsync(id, delivered: 40);
        // It was frozen for longer than its lease, as a virtual machine may be, and goes on as if nothing had been.
        await DieAsync();
        itsTime.Ahead = TimeSpan.FromSeconds(20);
        _sink.Answer = (_, _) => Task.CompletedTask;

        using var other = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await other.TurnAsync(everything: true, CancellationToken.None);
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM recipient_exceptions WHERE reason = 'worker_died'") > 0);
        await other.DrainAsync(CancellationToken.None);
        _release.TrySetResult();
        await dying;
        await service.DeliverAsync();

        var counts = await Api.CountsAsync(id);
        if (policy == "resend")
        {
            Assert.Equal(("completed", 480), (await Api.StatusAsync(id), counts["delivered"]));
        }
        else
        {
            // At most a window. What the calls of the one that was frozen came to is known later, and settles those.
            Assert.InRange(counts["uncertain"], 1, ChunkRun.Window);
            Assert.Equal(480, counts["uncertain"] + counts["delivered"]);
        }
        // Nobody is lost, and who got it twice got it with one key.
        if (policy == "resend") Assert.Equal(480, _sink.Calls.SelectMany(c => c.Users).Distinct().Count());
        Assert.All(_sink.Calls.GroupBy(c => c.Users.Single()), calls => Assert.Single(calls.Select(c => c.Key).Distinct()));
    }

    [Fact]
    public async Task Whose_worker_dies_before_it_has_written_anything_is_uncertain_as_far_as_its_claim_said()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { onUncertain = "hold" });
        var id = await Api.SendToAsync(template, 480);
        var claim = (await ClaimAsync())!;
        Assert.Equal((0, ChunkRun.Window), (claim.Intent, claim.MayBegin));

        await DieAsync();
        await service.DeliverAsync();

        var counts = await Api.CountsAsync(id);
        Assert.Equal((ChunkRun.Window, 480 - ChunkRun.Window), (counts["uncertain"], counts["delivered"]));
        Assert.Equal("worker_died", Text(await Api.MessageAsync(id, $"u{ChunkRun.Window - 1:0000}"), "reason"));
        Assert.Equal("delivered", Text(await Api.MessageAsync(id, $"u{ChunkRun.Window:0000}"), "status"));
    }

    [Fact]
    public async Task After_a_death_one_message_goes_first_and_not_before_that_is_committed()
    {
        _sink.Answer = (_, _) => _release.Task;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { timeoutSeconds = 30 });
        var id = await Api.SendToAsync(template, 480);
        Assert.NotNull(await ClaimAsync());
        await DieAsync();

        using var other = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await other.TurnAsync(everything: true, CancellationToken.None);
        await Eventually.HoldsAsync(() => Task.FromResult(!_sink.Calls.IsEmpty));
        Assert.Equal(1, await service.ScalarAsync<int>("SELECT intent_pos FROM chunks WHERE batch_id = $1", await service.BatchOfAsync(id)));
        Assert.Single(_sink.Calls);

        _release.TrySetResult();
        await other.DrainAsync(CancellationToken.None);
        Assert.Equal(("completed", 480), (await Api.StatusAsync(id), _sink.Calls.Count));
    }

    [Fact]
    public async Task No_call_may_begin_with_a_claim_under_a_limit_or_where_there_are_results()
    {
        _sink.AnswerWith(400);
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, 20);
        await Api.DoAsync(id, "limit", new { ratePerSecond = 1000 });
        Assert.Equal(0, (await ClaimAsync())!.MayBegin);

        await DieAsync();
        await Api.DoAsync(id, "limit", new { ratePerSecond = (double?)null });
        await service.DeliverAsync();
        Assert.Equal(20, (await Api.CountsAsync(id))["failed"]);
        await Api.DoAsync(id, "retry-failed");
        Assert.Equal(0, (await ClaimAsync())!.MayBegin);

        // Nobody is uncertain of whom no call may have begun.
        await DieAsync();
        _sink.AnswerWith(200);
        await service.DeliverAsync();
        Assert.Equal(("completed", 20), (await Api.StatusAsync(id), (await Api.CountsAsync(id))["delivered"]));
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM recipient_exceptions WHERE batch_id = $1 AND reason = 'worker_died'", await service.BatchOfAsync(id)));
    }

    [Fact]
    public async Task The_last_of_its_chunks_in_hand_ends_the_campaign()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, (2 * ChunkPlanner.ExternalChunkSize) + 1);
        using var worker = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await worker.DrainAsync(CancellationToken.None);
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task A_chunk_that_three_workers_died_of_is_set_aside_and_what_may_have_been_sent_is_uncertain()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, 20);
        var chunks = Chunks;
        var claim = (await ClaimAsync(window: 0))!;
        await chunks.NoteAsync(claim, new PassState(new byte[20], 7, 0, 0, 0, 0, [], 0, null), null, isTakeover: false, renews: true, CancellationToken.None);
        for (var death = 2; death <= 3; death++)
        {
            await DieAsync();
            claim = (await chunks.ClaimDeadAsync([], CancellationToken.None))!;
            Assert.Equal((death, 7, 0), (claim.Starts, claim.Intent, claim.MayBegin));
        }
        await DieAsync();
        await service.DeliverAsync();
        var counts = await Api.CountsAsync(id);
        Assert.Equal((7, 13), (counts["uncertain"], counts["failed"]));
        Assert.Equal("worker_died", Text(await Api.MessageAsync(id, "u0019"), "reason"));
        Assert.Empty(_sink.Calls);

        await Api.DoAsync(id, "retry-failed", new { include = new[] { "failed" } });
        await service.DeliverAsync();
        Assert.Equal((7, 13), ((await Api.CountsAsync(id))["uncertain"], _sink.Calls.Count));
        await Api.DoAsync(id, "retry-failed", new { include = new[] { "uncertain" } });
        await service.DeliverAsync();
        Assert.Equal(("completed", 20), (await Api.StatusAsync(id), _sink.Taken.Count));
        await Api.CountsAsync(id);
    }

    [Theory]
    [InlineData("pause")]
    [InlineData("stop")]
    public async Task After_a_verb_no_call_begins_and_those_under_way_are_waited_for(string verb)
    {
        _sink.Answer = (call, _) => string.CompareOrdinal(call.Users.Single(), "u0030") < 0 ? Task.CompletedTask : _release.Task;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 8, timeoutSeconds = 30 });
        var id = await Api.SendToAsync(template, 480);
        using var worker = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await worker.StartAsync(CancellationToken.None);
        try
        {
            await WrittenAsync(id, delivered: 30);
            // As many as may be under way are.
            await Eventually.HoldsAsync(() => Task.FromResult(_sink.Calls.Count >= 38));
            var answered = await Api.DoAsync(id, verb);
            Assert.Equal(verb == "pause" ? "paused" : "stopped", Text(answered, "status"));
            var begun = _sink.Calls.Count;
            Assert.True(begun == 38, string.Join(' ', _sink.Calls.Select(c => $"{c.Users.Single()}:{c.Status}")));
            if (verb == "stop") Assert.Equal(JsonValueKind.Null, answered.GetProperty("completedAt").ValueKind);
            // A worker hears of it within a second; here it does before the calls under way are answered.
            await worker.ReadControlAsync(CancellationToken.None);
            _release.SetResult();
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state NOT IN (3, 4)", await service.BatchOfAsync(id)) == 0);
            Assert.Equal(begun, _sink.Calls.Count);
            var counts = await Api.CountsAsync(id);
            Assert.Equal((38, verb == "pause" ? 442 : 0, verb == "pause" ? 0 : 442), (counts["delivered"], counts["pending"], counts["skipped"]));
            if (verb == "stop")
            {
                await Eventually.HoldsAsync(async () => (await Api.CampaignAsync(id)).GetProperty("completedAt").ValueKind != JsonValueKind.Null);
                Assert.Equal("stopped", Text(await Api.MessageAsync(id, "u0479"), "reason"));
                await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
            }
            else await Api.DoAsync(id, "resume");
            await Eventually.HoldsAsync(async () => await Api.StatusAsync(id) == "completed");
            Assert.Equal((480, 480), (_sink.Taken.Count, _sink.Calls.Count));
            await Api.CountsAsync(id);
        }
        finally
        {
            await worker.StopAsync(CancellationToken.None);
        }
    }

    /// <summary>A host that stops is told again when it is disposed of, and disposes of everything as soon as the second stop is over.</summary>
    [Fact]
    public async Task Told_twice_to_stop_neither_is_over_before_the_calls_under_way()
    {
        _sink.Answer = (_, _) => _release.Task;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 8, timeoutSeconds = 30 });
        var id = await Api.SendToAsync(template, 8);
        using var worker = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await worker.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(() => Task.FromResult(_sink.Calls.Count == 8));
        Task[] stops = [worker.StopAsync(CancellationToken.None), worker.StopAsync(CancellationToken.None)];
        Assert.All(stops, stop => Assert.False(stop.IsCompleted));
        _release.SetResult();
        await Task.WhenAll(stops);
        Assert.Equal(8, (await Api.CountsAsync(id))["delivered"]);
    }

    [Fact]
    public async Task Somebody_is_erased_in_the_middle_of_sending_and_everybody_else_keeps_their_result()
    {
        _sink.Answer = (call, _) => string.CompareOrdinal(call.Users.Single(), "u0030") < 0 ? Task.CompletedTask : _release.Task;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 4, timeoutSeconds = 30 });
        var id = await Api.SendToAsync(template, 100);
        var sending = service.Worker.DrainAsync(CancellationToken.None);
        await WrittenAsync(id, delivered: 30);
        var erasing = Api.DeleteAsync("/api/users/u0010");
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<bool>("SELECT bool_or(recalled) FROM chunks"));
        _release.SetResult();
        await sending;
        (await erasing).ShouldBe(System.Net.HttpStatusCode.OK);
        var counts = await Api.CountsAsync(id);
        Assert.Equal(100, counts.Values.Sum());
        await Eventually.HoldsAsync(async () =>
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            return await Api.StatusAsync(id) == "completed";
        });
        Assert.Equal((100, 100), ((await Api.CountsAsync(id))["delivered"], _sink.Calls.Count));
    }

    private ExternalChunks Chunks => new(service.Services.GetRequiredKeyedService<Npgsql.NpgsqlDataSource>(DeliveryPool.Key), TimeProvider.System);

    private async Task<ExternalClaim?> ClaimAsync(int window = ChunkRun.Window)
    {
        await service.Services.GetRequiredService<DeliveryPulse>().BeatAsync(CancellationToken.None);
        var channel = (await Chunks.ReadyLanesAsync(CancellationToken.None)).Single().Key;
        return await Chunks.ClaimAsync(channel, [Lanes.ExternalDirect, Lanes.ExternalBulk], [], window, CancellationToken.None);
    }

    /// <summary>The worker that holds chunks is taken for dead.</summary>
    private Task DieAsync() => service.ExecuteAsync("UPDATE chunks SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() - interval '1 minute' WHERE state = 2");

    private async Task WrittenAsync(string id, int delivered) =>
        await Eventually.HoldsAsync(async () => (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("delivered").GetInt32() >= delivered);

    /// <summary>The time, and as much further as somebody says.</summary>
    private sealed class AheadClock : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override long GetTimestamp() => System.GetTimestamp() + (long)(Ahead.TotalSeconds * TimestampFrequency);
    }

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;
}
