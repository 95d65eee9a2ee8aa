using CampaignService.Campaigns;
using CampaignService.Delivery;
using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace CampaignService.IntegrationTests.Delivery;

/// <summary>Outages, backups and standstill. Each test has the service to itself: what it does to the pulse, it does to all campaigns.</summary>
public sealed class PulseTests : IAsyncLifetime
{
    private readonly TestService _service = new();

    private Api Api => _service.Api;

    public Task InitializeAsync() => _service.InitializeAsync();

    public Task DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task After_an_outage_longer_than_the_limit_what_was_sending_is_paused_as_late_before_anything_is_handed_out()
    {
        var (old, young) = (await Api.SendingAsync(2_500), await Api.SendingAsync(2_500));
        await ExecuteAsync("UPDATE delivery_pulse SET at = clock_timestamp() - interval '3 hours'");
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '2 hours' WHERE id = $1", await _service.BatchOfAsync(old));

        // A worker that was frozen all the while claims before it has looked around: it gets nothing.
        Assert.Null(await _service.Services.GetRequiredService<ChunkQueue>().ClaimAsync(-1, CancellationToken.None));
        await _service.DeliverAsync();
        Assert.Equal(("paused", "late"), (await Api.StatusAsync(old), await Api.ReasonAsync(old)));
        Assert.Equal("completed", await Api.StatusAsync(young));
        Assert.Equal(2_500, (await Api.CampaignAsync(old)).GetProperty("totals").GetProperty("pending").GetInt32());

        await Api.DoAsync(old, "resume");
        await _service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(old));
        await _service.ShouldBalanceAsync(old);
    }

    [Fact]
    public async Task In_a_restored_copy_everything_that_was_sending_or_scheduled_is_paused_until_somebody_resumes_it()
    {
        var (sending, scheduled) = (await Api.SendingAsync(2_500), await Api.DraftAsync(2));
        await Api.DoAsync(scheduled, "schedule", new { scheduledAt = "2099-01-01T00:00:00Z" });
        var draft = await Api.DraftAsync(1);
        await ExecuteAsync("UPDATE delivery_pulse SET system_identifier = 1, at = clock_timestamp() - interval '1 minute'");
        Assert.Null(await _service.Services.GetRequiredService<ChunkQueue>().ClaimAsync(-1, CancellationToken.None));

        await _service.Services.GetRequiredService<DueCampaigns>().SweepAsync(CancellationToken.None);
        foreach (var id in new[] { sending, scheduled }) Assert.Equal(("paused", "restored"), (await Api.StatusAsync(id), await Api.ReasonAsync(id)));
        Assert.Equal("draft", await Api.StatusAsync(draft));
        await _service.DeliverAsync();
        Assert.Equal(0, await _service.ScalarAsync<long>("SELECT count(*) FROM feed_items"));

        foreach (var id in new[] { sending, scheduled }) await Api.DoAsync(id, "resume");
        await _service.DeliverAsync();
        foreach (var id in new[] { sending, scheduled })
        {
            Assert.Equal("completed", await Api.StatusAsync(id));
            await _service.ShouldBalanceAsync(id);
        }
    }

    [Fact]
    public async Task Another_timeline_is_another_copy_too()
    {
        Assert.Equal(await _service.ScalarAsync<string>("SELECT lpad(to_hex(timeline_id), 8, '0') FROM pg_control_checkpoint()"), await _service.ScalarAsync<string>("SELECT lower(timeline) FROM delivery_pulse"));
        var id = await Api.SendingAsync(2);
        await ExecuteAsync("UPDATE delivery_pulse SET timeline = '00000000'");
        await _service.DeliverAsync();
        Assert.Equal("restored", await Api.ReasonAsync(id));
    }

    [Fact]
    public async Task A_dump_restored_into_another_database_of_the_same_server_is_a_copy_too()
    {
        var id = await Api.SendingAsync(2);
        await ExecuteAsync("UPDATE delivery_pulse SET database_oid = 1");
        await _service.DeliverAsync();
        Assert.Equal("restored", await Api.ReasonAsync(id));
    }

    [Fact]
    public async Task A_batch_of_which_only_the_end_was_missing_is_ended_and_not_late()
    {
        var id = await Api.SendingAsync(2);
        await _service.DeliverOneAsync();
        await ExecuteAsync("UPDATE delivery_pulse SET at = clock_timestamp() - interval '3 hours'");
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '3 hours' WHERE id = $1", await _service.BatchOfAsync(id));
        await AnotherProcess().BeatAsync(CancellationToken.None);
        await _service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task A_batch_that_a_request_works_on_does_not_keep_the_others_from_being_delivered()
    {
        var (late, other) = (await Api.SendingAsync(2), await Api.SendingAsync(2));
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '2 hours' WHERE id = $1", await _service.BatchOfAsync(late));
        await using var connection = await _service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new Npgsql.NpgsqlCommand("SELECT 1 FROM batches WHERE id = $1 FOR UPDATE", connection) { Parameters = { new() { Value = await _service.BatchOfAsync(late) } } }) await hold.ExecuteScalarAsync();
        await _service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(other));
    }

    [Fact]
    public async Task Sending_on_keeps_a_batch_from_being_late()
    {
        var batch = await _service.BatchOfAsync(await Api.SendingAsync(4_500));
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '59 minutes' WHERE id = $1", batch);
        // Two other worker processes: what counts is that somebody closed a chunk, not that somebody is there.
        var (idle, busy) = (AnotherProcess(), AnotherProcess());
        await idle.BeatAsync(CancellationToken.None);
        Assert.True(await _service.ScalarAsync<bool>("SELECT progress_at < clock_timestamp() - interval '58 minutes' FROM batches WHERE id = $1", batch));
        busy.Progressed(batch);
        await busy.BeatAsync(CancellationToken.None);
        Assert.True(await _service.ScalarAsync<bool>("SELECT progress_at > clock_timestamp() - interval '1 minute' FROM batches WHERE id = $1", batch));
    }

    [Fact]
    public async Task What_a_process_noted_before_an_outage_does_not_count_as_progress_after_it()
    {
        var id = await Api.SendingAsync(4_500);
        var batch = await _service.BatchOfAsync(id);
        var frozen = AnotherProcess();
        frozen.Progressed(batch);
        await ExecuteAsync("UPDATE delivery_pulse SET at = clock_timestamp() - interval '2 hours'");
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '2 hours' WHERE id = $1", batch);
        await frozen.BeatAsync(CancellationToken.None);
        Assert.Equal("late", await Api.ReasonAsync(id));
    }

    [Fact]
    public async Task Work_that_is_due_and_stands_still_is_a_red_detail_of_health_and_goes_green_when_it_moves()
    {
        var watchdog = _service.Services.GetRequiredService<Watchdog>();
        var (sending, scheduled) = (await Api.SendingAsync(3), await Api.DraftAsync(1));
        await Api.DoAsync(scheduled, "schedule", new { scheduledAt = "2099-01-01T00:00:00Z" });
        await watchdog.LookAsync(CancellationToken.None);
        Assert.Equal(HealthStatus.Healthy, (await watchdog.CheckHealthAsync(new HealthCheckContext())).Status);

        var batch = await _service.BatchOfAsync(sending);
        await ExecuteAsync("UPDATE batches SET progress_at = clock_timestamp() - interval '61 seconds' WHERE id = $1", batch);
        await ExecuteAsync("UPDATE campaigns SET scheduled_at = clock_timestamp() - interval '61 seconds' WHERE id = $1", scheduled);
        // Its own look, which began before, may end after ours.
        System.Text.Json.JsonElement health = default;
        await Eventually.HoldsAsync(async () =>
        {
            await watchdog.LookAsync(CancellationToken.None);
            // Not unready: that would take away the API, too.
            health = (await Api.GetAsync("/health/ready")).ShouldBe(System.Net.HttpStatusCode.OK).Json;
            return health.GetProperty("status").GetString() == "Degraded";
        });
        var work = health.GetProperty("checks").GetProperty("work");
        Assert.Equal("Degraded", work.GetProperty("status").GetString());
        Assert.Contains("1 batches", work.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Contains("1 campaigns", work.GetProperty("detail").GetString(), StringComparison.Ordinal);
        // Anybody may ask for the health: the ids of apps' objects are for the log.
        Assert.DoesNotContain(batch.ToString(System.Globalization.CultureInfo.InvariantCulture), health.GetRawText(), StringComparison.Ordinal);
        Assert.DoesNotContain(scheduled, health.GetRawText(), StringComparison.Ordinal);
        Assert.Equal("Healthy", health.GetProperty("checks").GetProperty("database").GetProperty("status").GetString());

        await _service.Services.GetRequiredService<DueCampaigns>().SweepAsync(CancellationToken.None);
        await _service.DeliverAsync();
        await Eventually.HoldsAsync(async () =>
        {
            await watchdog.LookAsync(CancellationToken.None);
            return (await Api.GetAsync("/health/ready")).Json.GetProperty("status").GetString() == "Healthy";
        });
    }

    private async Task ExecuteAsync(string sql, params object[] parameters)
    {
        await using var command = _service.Db.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        Assert.Equal(1, await command.ExecuteNonQueryAsync());
    }

    /// <summary>A worker process as far as the pulse goes: it has beaten never yet.</summary>
    private DeliveryPulse AnotherProcess() => ActivatorUtilities.CreateInstance<DeliveryPulse>(_service.Services);
}
