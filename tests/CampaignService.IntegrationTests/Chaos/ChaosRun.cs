using System.Diagnostics;
using System.Globalization;
using System.Net;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>
/// Sends campaigns through real processes of the service while faults happen, lets everything come to its end, and looks at what is left.
/// The service is driven over HTTP only; SQL is for looking, and for slowing down.
/// </summary>
/// <param name="connectionString">An empty database.</param>
/// <param name="dataDirectory">Of its server, which is started again by whoever owns it; needed for <see cref="Faults.ServerCrashes"/>.</param>
/// <param name="plan">What to do.</param>
internal sealed class ChaosRun(string connectionString, string? dataDirectory, ChaosPlan plan)
{
    /// <summary>A lease takes 15 s to run out, and what is taken over may wait for others; more than this is no delay.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    // No pool: a connection from before a crash is of no use after it.
    private readonly string _connectionString = connectionString + ";Pooling=false;Command Timeout=120";
    private readonly ChaosReport _report = new(plan);
    private readonly Stopwatch _calm = new();

    /// <summary>So that four loops are busy for about as long as the faults last, most of the time in the middle of a transaction.</summary>
    private TimeSpan SlowestClose => 4 * plan.Duration / (plan.Campaigns * 1.5 * Math.Ceiling(plan.Recipients / 2000.0));

    public async Task<ChaosReport> RunAsync(CancellationToken ct = default)
    {
        var watch = Stopwatch.StartNew();
        var slots = plan.Processes.Select(roles => new Slot(connectionString, roles, _report)).ToList();
        var api = slots[Array.FindIndex(plan.Processes, roles => roles is "" or "api")];
        try
        {
            foreach (var slot in slots) slot.Open();
            await DisturbStartAsync(slots, ct);
            foreach (var slot in slots) await slot.ApiAsync(ct);
            var driver = new Driver(api, _report);
            await DisturbAsync(slots, driver, ct);
            var ended = await EndAsync(driver, ct);
            _report.Recovery = _calm.Elapsed;
            if (ended) await new Inspection(_connectionString, _report).LookAsync(driver, ct);
        }
        finally
        {
            foreach (var slot in slots) await slot.DisposeAsync();
        }
        _report.Took = watch.Elapsed;
        return _report;
    }

    /// <summary>The first kills meet processes that set up the empty database.</summary>
    private async Task DisturbStartAsync(List<Slot> slots, CancellationToken ct)
    {
        using var storm = CancellationTokenSource.CreateLinkedTokenSource(ct);
        storm.CancelAfter(plan.Duration / 4);
        await RepeatAsync(Faults.Kills, 0.2, 2, random => KillAsync(slots, random), storm.Token);
    }

    private static Task KillAsync(List<Slot> slots, Random random)
    {
        slots[random.Next(slots.Count)].Kill();
        return Task.CompletedTask;
    }

    /// <summary>
    /// Makes faults for the time of the plan. Most campaigns were created before it; half of those start by themselves in the course of it,
    /// the others when somebody sends them.
    /// </summary>
    private async Task DisturbAsync(List<Slot> slots, Driver driver, CancellationToken ct)
    {
        var (random, calm) = (new Random(plan.Seed), plan.Campaigns * 4 / 5);
        for (var number = 0; number < calm; number++) await driver.CreateAsync(number, ct);
        foreach (var subject in driver.Subjects.Where((_, i) => i % 2 == 0))
        {
            var at = TimeProvider.System.GetUtcNow() + TimeSpan.FromSeconds(2) + plan.Duration * (0.8 * random.NextDouble());
            await driver.ScheduleAsync(subject, at, random.Next(4) == 0 ? at.AddSeconds(1 + 10 * random.NextDouble()) : null, ct);
        }

        await ExecuteAsync(string.Create(CultureInfo.InvariantCulture, $"""
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(random() * {SlowestClose.TotalSeconds:0.000}); RETURN NEW; END';
            CREATE TRIGGER slow BEFORE UPDATE ON chunks FOR EACH ROW WHEN (OLD.state = 2 AND NEW.state = 4) EXECUTE FUNCTION slow()
            """), ct);
        using var storm = CancellationTokenSource.CreateLinkedTokenSource(ct);
        storm.CancelAfter(plan.Duration);
        var late = Task.Run(async () =>
        {
            for (var number = calm; number < plan.Campaigns; number++) await driver.CreateAsync(number, ct);
        }, ct);
        await Task.WhenAll(
            RepeatAsync(Faults.Kills, 0.2, 2, r => KillAsync(slots, r), storm.Token),
            RepeatAsync(Faults.ServerCrashes, 3, 8, _ => Task.FromResult(CrashServer()), storm.Token),
            RepeatAsync(Faults.Cuts, 0.1, 0.5, r => CutAsync(r, storm.Token), storm.Token),
            RepeatAsync(Faults.Freezes, 2, 6, r => slots[r.Next(slots.Count)].FreezeAsync(TimeSpan.FromSeconds(20 * r.NextDouble()), storm.Token), storm.Token),
            RepeatAsync(Faults.None, 0.05, 0.3, r => driver.DisturbAsync(r, storm.Token), storm.Token));
        _calm.Start();
        await Wait.UntilAsync(async () => (_report.UnderFire = await ScalarAsync("SELECT coalesce(sum(delivered), 0)::bigint FROM chunks", ct)) >= 0, Patience, ct);
        await Wait.UntilAsync(async () => await ExecuteAsync("DROP TRIGGER IF EXISTS slow ON chunks", ct), Patience, ct);
        await late;
    }

    private async Task RepeatAsync(Faults fault, double from, double to, Func<Random, Task> act, CancellationToken storm)
    {
        if (!plan.Faults.HasFlag(fault)) return;
        var random = new Random(31 * plan.Seed + (int)fault);
        try
        {
            while (true)
            {
                await Wait.ForAsync(random, from, to, storm);
                await act(random);
            }
        }
        catch (OperationCanceledException) when (storm.IsCancellationRequested)
        {
        }
    }

    /// <summary>The server with all its processes, at once: none is left to write or to say goodbye.</summary>
    private int CrashServer()
    {
        try
        {
            var pid = int.Parse(File.ReadLines(Path.Combine(dataDirectory!, "postmaster.pid")).First(), CultureInfo.InvariantCulture);
            using var server = Process.GetProcessById(pid);
            if (server.ProcessName != "postgres") return 0;
            server.Kill(entireProcessTree: true);
            return ++_report.ServerCrashes;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or IOException)
        {
            return 0; // it is dead already
        }
    }

    private async Task CutAsync(Random random, CancellationToken ct)
    {
        try
        {
            await using var connection = new NpgsqlConnection(_connectionString);
            await connection.OpenAsync(ct);
            await using var command = new NpgsqlCommand("""
                SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND hashint4(pid + $1) % 3 = 0
                """, connection) { Parameters = { new() { Value = random.Next(1_000_000) } } };
            _report.ConnectionsCut += (int)(await command.ExecuteScalarAsync(ct))!;
        }
        catch (NpgsqlException)
        {
            // The server is away.
        }
    }

    /// <summary>In calm: sends or resumes what is left, waits until every campaign has ended, and retries what was set aside.</summary>
    private async Task<bool> EndAsync(Driver driver, CancellationToken ct)
    {
        if (!await HaveEndedAsync(driver, ct)) return false;
        _report.SetAside = await ScalarAsync("SELECT count(*) FROM chunks WHERE failed > 0", ct);
        foreach (var id in await IdsAsync("SELECT id FROM campaigns c WHERE status <> 8 AND EXISTS (SELECT 1 FROM chunks WHERE batch_id = c.batch_id AND failed > 0)", ct))
        {
            await driver.InsistAsync(a => a.PostAsync($"/api/campaigns/{id}/retry-failed"), ct, HttpStatusCode.Accepted);
        }
        // Of those that were stopped, every second one is sent to its end after all.
        foreach (var id in (await IdsAsync("SELECT id FROM campaigns WHERE status = 8 ORDER BY id", ct)).Where((_, i) => i % 2 == 0)) await driver.RetryStoppedAsync(id, ct);
        return await HaveEndedAsync(driver, ct);
    }

    private async Task<bool> HaveEndedAsync(Driver driver, CancellationToken ct)
    {
        var have = await Wait.UntilAsync(async () =>
        {
            await driver.GoOnAsync(ct);
            return await ScalarAsync("SELECT count(*) FROM campaigns WHERE status IN (1, 2, 3) OR (status = 8 AND completed_at IS NULL)", ct) == 0;
        }, Patience, ct);
        if (have) return true;
        foreach (var row in await IdsAsync("""
            SELECT format('%s is status %s, its batch %s in state %s; chunks %s', c.id, c.status, b.id, b.state,
              (SELECT string_agg(format('%s/%s state %s starts %s lease %s turn %s', no, channel_no, state, starts, lease_until - clock_timestamp(), turn), ', ') FROM chunks WHERE batch_id = b.id AND state <> 4))
            FROM campaigns c JOIN batches b ON b.id = c.batch_id WHERE c.status IN (1, 2, 3) OR (c.status = 8 AND c.completed_at IS NULL)
            """, ct)) _report.Violations.Add($"did not end within {Patience.TotalMinutes:0} minutes: {row}");
        return false;
    }

    private async Task<long> ScalarAsync(string sql, CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync(ct);
        await using var command = new NpgsqlCommand(sql, connection);
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<bool> ExecuteAsync(string sql, CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync(ct);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
        return true;
    }

    private async Task<List<string>> IdsAsync(string sql, CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync(ct);
        await using var command = new NpgsqlCommand(sql, connection);
        var found = new List<string>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add(reader.GetString(0));
        return found;
    }
}
