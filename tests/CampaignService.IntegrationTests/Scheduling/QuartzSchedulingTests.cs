using System.Diagnostics;
using CampaignService.Common;
using CampaignService.IntegrationTests.Support;
using CampaignService.Scheduling;
using Npgsql;

namespace CampaignService.IntegrationTests.Scheduling;

public sealed class QuartzSchedulingTests : IAsyncLifetime
{
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(300), Hour = TimeSpan.FromHours(1);

    private readonly List<SchedulerNode> _nodes = [];
    private TestPostgres _postgres = null!;
    private string _connectionString = "";

    public async Task InitializeAsync()
    {
        _postgres = await TestPostgres.SharedAsync();
        _connectionString = await _postgres.NewDatabaseAsync();
    }

    public async Task DisposeAsync()
    {
        foreach (var node in _nodes) await node.DisposeAsync();
    }

    [Fact]
    public async Task A_moment_is_told_once_with_the_campaigns_id_and_is_then_gone()
    {
        var node = await NodeAsync(runs: true);
        var start = node.Clock.GetUtcNow() + Soon;
        await node.SetAsync("c1", Soon);
        await UntilAsync(() => !node.Told.IsEmpty);
        await UntilAsync(async () => await TriggersAsync() == 0);
        var (id, at) = Assert.Single(node.Told);
        Assert.Equal("c1", id);
        Assert.InRange(at, start, start + TimeSpan.FromSeconds(15));
        Assert.Empty(node.Complaints);
    }

    [Fact]
    public async Task A_campaigns_start_and_its_stop_are_two_moments()
    {
        var node = await NodeAsync(runs: true);
        await node.SetAsync("c1", Soon);
        await node.SetAsync("c1", Soon, CampaignMoment.Stop);
        await UntilAsync(() => node.Told.Count == 2);
        await node.SetAsync("c2", Hour);
        await node.RemoveAsync("c2", CampaignMoment.Stop);
        Assert.Equal(1, await TriggersAsync("c2"));
    }

    [Fact]
    public async Task A_transaction_that_is_rolled_back_leaves_no_moment_and_takes_none_away()
    {
        var node = await NodeAsync(runs: false);
        await node.SetAsync("kept", Hour);
        await using (var connection = await OpenAsync())
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await node.Schedule.SetAsync("lost", CampaignMoment.Start, node.Clock.GetUtcNow() + Hour, transaction, CancellationToken.None);
            await node.Schedule.RemoveAsync("kept", CampaignMoment.Start, transaction, CancellationToken.None);
            await transaction.RollbackAsync();
        }
        Assert.Equal(0, await TriggersAsync("lost"));
        Assert.Equal(1, await TriggersAsync("kept"));
    }

    [Fact]
    public async Task Who_waits_too_long_for_another_that_sets_a_moment_is_told_to_try_again()
    {
        var node = await NodeAsync(runs: false);
        await using var first = await OpenAsync();
        await using var holding = await first.BeginTransactionAsync();
        await node.Schedule.SetAsync("c1", CampaignMoment.Start, node.Clock.GetUtcNow() + Hour, holding, CancellationToken.None);
        await using var second = await OpenAsync();
        await using var waiting = await second.BeginTransactionAsync();
        await using var impatient = new NpgsqlCommand("SET LOCAL lock_timeout = '100ms'", second, waiting);
        await impatient.ExecuteNonQueryAsync();
        var refused = await Assert.ThrowsAsync<ApiException>(() =>
            node.Schedule.SetAsync("c2", CampaignMoment.Start, node.Clock.GetUtcNow() + Hour, waiting, CancellationToken.None));
        Assert.Equal(409, refused.Error.Status);
    }

    [Fact]
    public async Task Setting_a_moment_again_moves_it()
    {
        var node = await NodeAsync(runs: true);
        await node.SetAsync("sooner", Hour);
        await node.SetAsync("sooner", Soon);
        await node.SetAsync("later", Hour);
        var second = node.Clock.GetUtcNow() + (2 * Hour);
        await node.SetAsync("later", 2 * Hour);
        await AfterAllAsync(node, 4 * Soon);
        Assert.Equal(["sooner"], node.Told.Select(t => t.Id).Where(id => id != "last"));
        // There is one, and that is the second.
        Assert.Equal(1, await TriggersAsync("later"));
        var next = new DateTimeOffset(await ScalarAsync<long>("SELECT next_fire_time FROM qrtz_triggers WHERE trigger_name = 'later'"), TimeSpan.Zero);
        Assert.InRange(next, second - TimeSpan.FromSeconds(1), second + TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_moment_taken_away_is_never_told()
    {
        var node = await NodeAsync(runs: true);
        await node.SetAsync("c1", Hour);
        await node.RemoveAsync("c1");
        Assert.Equal(0, await TriggersAsync("c1"));
        await node.RemoveAsync("was never set");
        await AfterAllAsync(node, 4 * Soon);
        Assert.Equal("last", Assert.Single(node.Told).Id);
    }

    [Fact]
    public async Task What_is_told_may_set_its_own_moment_again()
    {
        var node = await NodeAsync(runs: true);
        node.WhenTold = (id, _) => node.Told.Count == 1 ? node.SetAsync(id, Soon) : Task.CompletedTask;
        await node.SetAsync("c1", Soon);
        await UntilAsync(() => node.Told.Count == 2);
        await UntilAsync(async () => await TriggersAsync() == 0);
    }

    [Fact]
    public async Task What_is_told_may_take_its_own_moment_away()
    {
        var node = await NodeAsync(runs: true);
        node.WhenTold = (id, _) => node.RemoveAsync(id);
        await node.SetAsync("c1", Soon);
        await AfterAllAsync(node, 2 * Soon);
        await UntilAsync(async () => await TriggersAsync() == 0);
        Assert.Empty(node.Complaints);
    }

    [Fact]
    public async Task What_one_process_sets_another_tells_within_seconds()
    {
        var api = await NodeAsync(runs: false);
        var scheduler = await NodeAsync(runs: true);
        await api.SetAsync("c1", Soon);
        var set = Stopwatch.GetTimestamp();
        await UntilAsync(() => !scheduler.Told.IsEmpty);
        // One that looks every second; left to itself, Quartz looks every thirty.
        Assert.InRange(Stopwatch.GetElapsedTime(set).TotalSeconds, 0, 10);
        Assert.Empty(api.Told);
    }

    [Fact]
    public async Task Two_that_run_tell_of_each_of_twenty_moments_once()
    {
        SchedulerNode[] nodes = [await NodeAsync(runs: true), await NodeAsync(runs: true)];
        for (var i = 0; i < 20; i++) await nodes[i % 2].SetAsync($"c{i}", 4 * Soon);
        await UntilAsync(() => nodes.Sum(n => n.Told.Count) >= 20);
        await AfterAllAsync(nodes[0], Soon, nodes);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"c{i}").Append("last").Order(), nodes.SelectMany(n => n.Told).Select(t => t.Id).Order());
    }

    [Fact]
    public async Task Processes_that_start_at_once_on_an_empty_database_do_not_hinder_each_other()
    {
        var nodes = await Task.WhenAll(Enumerable.Range(0, 4).Select(i => NodeAsync(runs: i < 2)));
        await Task.WhenAll(nodes.Select((node, i) => node.SetAsync($"c{i}", Soon)));
        await UntilAsync(() => nodes.Sum(n => n.Told.Count) == 4);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task The_time_that_counts_is_the_databases_and_not_the_machines(int hoursAhead)
    {
        SchedulerNode[] nodes = [await NodeAsync(runs: true, hoursAhead * Hour), await NodeAsync(runs: true, hoursAhead * Hour)];
        var at = nodes[0].Clock.GetUtcNow() + (2 * Soon);
        await nodes[0].SetAsync("c1", 2 * Soon);
        await nodes[0].SetAsync("much later", Hour / 2);
        await AfterAllAsync(nodes[0], 4 * Soon, nodes);
        var told = Assert.Single(nodes.SelectMany(n => n.Told), t => t.Id != "last");
        Assert.Equal("c1", told.Id);
        Assert.InRange(told.At, at, at + TimeSpan.FromSeconds(15));
        var checkedIn = new DateTimeOffset(await ScalarAsync<long>("SELECT min(last_checkin_time) FROM qrtz_scheduler_state"), TimeSpan.Zero);
        Assert.InRange(checkedIn, at - TimeSpan.FromMinutes(1), at + TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_moment_that_passed_while_nobody_ran_is_told_at_the_next_start()
    {
        var api = await NodeAsync(runs: false);
        await api.SetAsync("c1", Hour / 2);
        // By this one's clock it is half an hour too late, beyond any grace for a late trigger.
        var scheduler = await NodeAsync(runs: true, ahead: Hour);
        await UntilAsync(() => !scheduler.Told.IsEmpty);
    }

    [Fact]
    public async Task A_moment_whose_call_fails_is_logged_and_hinders_no_other()
    {
        var node = await NodeAsync(runs: true);
        node.WhenTold = (id, _) => id == "bad" ? throw new InvalidOperationException("no") : Task.CompletedTask;
        await node.SetAsync("bad", Soon);
        await AfterAllAsync(node, 2 * Soon);
        await UntilAsync(async () => await TriggersAsync() == 0);
        Assert.NotEmpty(node.Complaints);
    }

    [Fact]
    public async Task What_a_process_had_begun_when_it_died_is_told_again_by_another()
    {
        var dead = await NodeAsync(runs: true);
        var never = new TaskCompletionSource();
        dead.WhenTold = (_, _) => never.Task;
        // As many as it tells of at once: as it lives on here, it would else take some of them up again itself.
        string[] begun = ["c1", "c2", "c3", "c4"];
        foreach (var id in begun) await dead.SetAsync(id, Soon);
        await UntilAsync(() => dead.Told.Count == begun.Length);
        // To one whose clock is a minute ahead, the other has not checked in for a minute.
        var other = await NodeAsync(runs: true, ahead: Hour / 60);
        await UntilAsync(() => other.Told.Count >= begun.Length);
        Assert.Equal(begun, other.Told.Select(t => t.Id).Order());
        Assert.Equal(begun, dead.Told.Select(t => t.Id).Order());
        never.SetResult();
    }

    [Fact]
    public async Task It_goes_on_when_the_database_ends_its_connections()
    {
        var node = await NodeAsync(runs: true);
        await node.SetAsync("before", 4 * Soon);
        await _postgres.ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{Database}'");
        await UntilAsync(() => node.Told.Any(t => t.Id == "before"));
    }

    [Fact]
    public async Task It_outlives_an_absence_of_the_database_and_does_not_flood_the_log()
    {
        var node = await NodeAsync(runs: true);
        // So far away that it is not in hand yet when the database goes: that would be something more to complain about.
        await node.SetAsync("before", TimeSpan.FromSeconds(10));
        await _postgres.ExecuteAsync($"ALTER DATABASE {Database} ALLOW_CONNECTIONS false");
        await _postgres.ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{Database}'");
        var attempts = node.Attempts;
        await UntilAsync(() => node.Attempts >= attempts + 6);
        await _postgres.ExecuteAsync($"ALTER DATABASE {Database} ALLOW_CONNECTIONS true");
        await UntilAsync(() => node.Told.Any(t => t.Id == "before"));
        Assert.InRange(node.Complaints.Count, 1, 2);
    }

    [Fact]
    public async Task One_that_starts_while_the_database_is_away_runs_once_it_is_back()
    {
        var api = await NodeAsync(runs: false);
        await api.SetAsync("c1", Soon);
        await _postgres.ExecuteAsync($"ALTER DATABASE {Database} ALLOW_CONNECTIONS false");
        var scheduler = await NodeAsync(runs: true, later: true);
        await UntilAsync(() => !scheduler.Complaints.IsEmpty);
        await _postgres.ExecuteAsync($"ALTER DATABASE {Database} ALLOW_CONNECTIONS true");
        await UntilAsync(() => !scheduler.Told.IsEmpty);
        Assert.Single(scheduler.Complaints);
    }

    [Fact]
    public async Task It_ends_in_time_even_when_what_it_called_does_not()
    {
        var node = await NodeAsync(runs: true);
        var never = new TaskCompletionSource();
        node.WhenTold = (_, _) => never.Task;
        await node.SetAsync("c1", Soon);
        await UntilAsync(() => !node.Told.IsEmpty);
        await EndsInTimeAsync(node);
        never.SetResult();
    }

    [Fact]
    public async Task What_it_called_hears_that_the_process_ends()
    {
        var node = await NodeAsync(runs: true);
        var heard = new TaskCompletionSource();
        node.WhenTold = async (_, ct) =>
        {
            await using var registration = ct.Register(heard.SetResult);
            await heard.Task;
        };
        await node.SetAsync("c1", Soon);
        await UntilAsync(() => !node.Told.IsEmpty);
        await EndsInTimeAsync(node);
        Assert.True(heard.Task.IsCompleted);
    }

    [Fact]
    public async Task It_ends_in_time_while_the_database_is_away()
    {
        var node = await NodeAsync(runs: true);
        await node.SetAsync("c1", Hour);
        await _postgres.ExecuteAsync($"ALTER DATABASE {Database} ALLOW_CONNECTIONS false");
        await _postgres.ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{Database}'");
        await UntilAsync(() => !node.Complaints.IsEmpty);
        await EndsInTimeAsync(node);
    }

    private string Database => new NpgsqlConnectionStringBuilder(_connectionString).Database!;

    private static async Task EndsInTimeAsync(SchedulerNode node)
    {
        var asked = Stopwatch.GetTimestamp();
        await node.StopAsync();
        // It gives what it called four seconds; waiting for its end, it would take the thirty that the host has.
        Assert.InRange(Stopwatch.GetElapsedTime(asked).TotalSeconds, 0, 9);
    }

    /// <summary>Returns when a moment set now has been told, and with it all that was due before.</summary>
    private static async Task AfterAllAsync(SchedulerNode node, TimeSpan away, params SchedulerNode[] any)
    {
        await node.SetAsync("last", away);
        await UntilAsync(() => any.Append(node).Any(n => n.Told.Any(t => t.Id == "last")));
    }

    private static Task UntilAsync(Func<bool> isSo) => UntilAsync(() => Task.FromResult(isSo()));

    private static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!await isSo()) await tick.WaitForNextTickAsync(patience.Token);
    }

    private async Task<SchedulerNode> NodeAsync(bool runs, TimeSpan ahead = default, bool later = false)
    {
        var node = await SchedulerNode.StartAsync(_connectionString, runs, ahead, later);
        lock (_nodes) _nodes.Add(node);
        return node;
    }

    private Task<long> TriggersAsync(string id = "%") => ScalarAsync<long>("SELECT count(*) FROM qrtz_triggers WHERE trigger_name LIKE $1", id);

    private async Task<NpgsqlConnection> OpenAsync()
    {
        var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync();
        return connection;
    }

    private async Task<T> ScalarAsync<T>(string sql, params object[] parameters)
    {
        await using var connection = await OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
