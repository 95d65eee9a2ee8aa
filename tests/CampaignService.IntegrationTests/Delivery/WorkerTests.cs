using System.Diagnostics;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Delivery;

/// <summary>How workers behave among others: under suspicion, when stopped, when cut off, when woken, and in turn.</summary>
public sealed class WorkerTests : IAsyncLifetime
{
    private readonly TestService _service = new();

    private Api Api => _service.Api;

    private DeliveryWorker Worker => _service.Services.GetRequiredService<DeliveryWorker>();

    public Task InitializeAsync() => _service.InitializeAsync();

    public Task DisposeAsync() => _service.DisposeAsync();

    [Fact]
    public async Task A_chunk_that_killed_two_workers_runs_alone_the_third_time()
    {
        var id = await Api.SendingAsync(20_000);
        await _service.ExecuteAsync("""
            CREATE TABLE seen (no int, others bigint);
            CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              INSERT INTO seen SELECT NEW.no, count(*) FROM chunks WHERE state = 2 AND no <> NEW.no; RETURN NULL; END $$;
            CREATE TRIGGER see AFTER UPDATE ON chunks FOR EACH ROW WHEN (NEW.state = 4) EXECUTE FUNCTION see();
            UPDATE chunks SET starts = 2 WHERE no = 3;
            """);
        await Task.WhenAll(Worker.DeliverAllAsync(CancellationToken.None), Worker.DeliverAllAsync(CancellationToken.None));
        await _service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        Assert.Equal(0, await _service.ScalarAsync<long>("SELECT others FROM seen WHERE no = 3"));
        // The trigger does see others, when there are any.
        Assert.True(await _service.ScalarAsync<long>("SELECT max(others) FROM seen") > 0);
        Assert.Equal(0, await _service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE starts > 0"));
        await _service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task Asked_to_stop_a_worker_gives_back_what_it_cannot_finish_within_ten_seconds()
    {
        var id = await Api.SendingAsync(4_500);
        await using var blocker = await _service.Db.OpenConnectionAsync();
        await using var transaction = await blocker.BeginTransactionAsync();
        await using (var block = new NpgsqlCommand("LOCK TABLE feed_items IN EXCLUSIVE MODE", blocker)) await block.ExecuteNonQueryAsync();
        await Worker.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await _service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'campaigns-worker' AND wait_event_type = 'Lock'") > 0);

        var start = Stopwatch.GetTimestamp();
        await Worker.StopAsync(CancellationToken.None);
        // What it gives itself is less than what the host gives it; a busy machine may make more of it here.
        Assert.True(DeliveryWorker.Grace < TimeSpan.FromSeconds(10));
        Assert.InRange(Stopwatch.GetElapsedTime(start), TimeSpan.Zero, DeliveryWorker.Grace + TimeSpan.FromSeconds(5));
        Assert.Equal(0, await _service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE state = 2 OR starts > 0"));
        await transaction.RollbackAsync();
        await _service.DeliverAsync();
        await _service.ShouldBalanceAsync(id);
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task Asked_to_stop_a_worker_finishes_the_chunk_at_hand_and_takes_no_other()
    {
        var id = await Api.SendingAsync(100_000);
        await Worker.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await _service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE state = 4") > 0);
        await Worker.StopAsync(CancellationToken.None);
        Assert.Equal(0, await _service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE state = 2 OR starts > 0"));
        Assert.Equal("sending", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task A_chunk_whose_connection_was_cut_is_given_back_and_does_not_wait_for_its_lease()
    {
        var id = await Api.SendingAsync(2_500);
        await using var blocker = await _service.Db.OpenConnectionAsync();
        await using var transaction = await blocker.BeginTransactionAsync();
        await using (var block = new NpgsqlCommand("LOCK TABLE feed_items IN EXCLUSIVE MODE", blocker)) await block.ExecuteNonQueryAsync();
        var turn = Worker.DeliverAllAsync(CancellationToken.None);
        const string waiting = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'campaigns-worker' AND wait_event_type = 'Lock'";
        await Eventually.HoldsAsync(async () => await _service.ScalarAsync<long>($"SELECT count(*) {waiting}") > 0);
        await _service.ScalarAsync<bool>($"SELECT pg_terminate_backend(pid) {waiting}");
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => turn);
        await transaction.RollbackAsync();
        Assert.Equal(1, await _service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE state = 2"));

        await _service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        await _service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task A_notice_wakes_the_workers_of_other_processes_and_many_signals_are_few_notices()
    {
        var (here, there) = (_service.Services.GetRequiredService<WorkSignal>(), new WorkSignal(TimeProvider.System));
        var source = _service.Services.GetRequiredService<NpgsqlDataSource>();
        using var other = ActivatorUtilities.CreateInstance<Notices<WorkSignal>>(_service.Services, there, new Notices<WorkSignal>.Listening(true));
        var listening = there.Next;
        await other.StartAsync(CancellationToken.None);
        await listening;
        await using var listener = await source.OpenConnectionAsync();
        var notices = 0;
        listener.Notification += (_, _) => notices++;
        await using (var listen = new NpgsqlCommand("LISTEN campaigns_work", listener)) await listen.ExecuteNonQueryAsync();

        var woken = there.Next;
        var began = Stopwatch.GetTimestamp();
        for (var i = 0; i < 1_000; i++) here.Wake();
        var took = Stopwatch.GetElapsedTime(began);
        await woken.WaitAsync(TimeSpan.FromMinutes(1));
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        await listener.WaitAsync(patience.Token);
        while (await listener.WaitAsync(TimeSpan.FromMilliseconds(300)))
        {
            // Each wait takes one notice; those that are left come at once, or there are none.
        }
        // One in 50 ms for as long as the signals lasted, and a few.
        Assert.InRange(notices, 1, 5 + (int)(took / TimeSpan.FromMilliseconds(50)));
        await other.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Work_of_which_no_notice_came_is_found_within_seconds()
    {
        // It has a signal of its own, which nobody gives.
        using var deaf = ActivatorUtilities.CreateInstance<DeliveryWorker>(_service.Services, new WorkSignal(TimeProvider.System));
        var id = await Api.DraftAsync(3);
        await deaf.StartAsync(CancellationToken.None);
        await Eventually.HoldsAsync(async () => await _service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'campaigns-worker'") > 0);
        var start = Stopwatch.GetTimestamp();
        await Api.DoAsync(id, "send");
        await Eventually.HoldsAsync(async () => await Api.StatusAsync(id) == "completed");
        Assert.InRange(Stopwatch.GetElapsedTime(start), TimeSpan.Zero, TimeSpan.FromSeconds(10));
        await deaf.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task A_small_campaign_behind_four_large_ones_is_done_after_a_few_chunks()
    {
        for (var i = 0; i < 4; i++) await Api.SendingAsync(40_000);
        // The large ones are well under way.
        for (var i = 0; i < 10; i++) await _service.DeliverOneAsync();
        var small = await Api.SendingAsync(10);
        var turns = 0;
        for (; await Api.StatusAsync(small) == "sending"; turns++)
        {
            var chunk = (await _service.ClaimAsync())!;
            await _service.ProcessAsync(chunk);
            await _service.Services.GetRequiredService<BatchFinisher>().TryFinishAsync(chunk.BatchId, CancellationToken.None);
        }
        Assert.InRange(turns, 1, 5);
    }

    [Fact]
    public async Task Several_apps_share_the_workers_evenly_however_much_each_of_them_sends()
    {
        var apps = new[] { Api, await _service.NewAppAsync("second"), await _service.NewAppAsync("third") };
        for (var app = 0; app < apps.Length; app++)
        {
            for (var campaign = 0; campaign <= app * 2; campaign++) await apps[app].DoAsync(await apps[app].DraftAsync(18_500), "send");
        }
        var chunk = await _service.ClaimAsync();
        var served = new List<int>();
        for (var turn = 0; turn < 27; turn++)
        {
            served.Add(chunk!.AppNo);
            chunk = (await _service.ProcessAsync(chunk, claimNext: true)).Next;
        }
        Assert.Equal([9, 9, 9], served.GroupBy(app => app).Select(g => g.Count()));
    }
}
