using System.Collections.Concurrent;
using CampaignService.Data;
using Npgsql;

namespace CampaignService.Users;

/// <summary>
/// Keeps when people were last seen. Each call costs a look into memory; for one person it is written at most every 20 s by one process, and
/// for all of them together. Only for those who have a profile. Die before it is written, and somebody seems away who is not, for 20 s.
/// What could not be written is kept, with its time, and written with the next that is.
/// </summary>
public sealed class UserPresence(NpgsqlDataSource source, TimeProvider clock, ILogger<UserPresence> log) : BackgroundService
{
    /// <summary>For so long after they were seen people count as online.</summary>
    public static readonly TimeSpan OnlineFor = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan WriteEvery = TimeSpan.FromSeconds(20), BetweenWrites = TimeSpan.FromSeconds(1);

    /// <summary>So long a request waits for another's write: where that hangs, nobody is to hang behind it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<Person, long> _seen = new(), _unwritten = new();
    private readonly SemaphoreSlim _work = new(0, 1), _writing = new(1, 1);

    /// <summary>The person's feed is being looked at. Whoever keeps a stream open calls this every 20 s or so.</summary>
    public void Seen(int appNo, string userId)
    {
        var (person, now) = (new Person(appNo, userId), clock.GetTimestamp());
        if (_seen.TryGetValue(person, out var last) && clock.GetElapsedTime(last, now) < WriteEvery) return;
        _seen[person] = now;
        _unwritten[person] = now;
        if (_work.CurrentCount == 0) Signal();
    }

    /// <summary>Writes what was not written yet. Whoever comes while another writes waits for that: what was seen before this call is written after it.</summary>
    public Task FlushAsync(CancellationToken ct) => FlushAsync(Patience, ct);

    private async Task FlushAsync(TimeSpan patience, CancellationToken ct)
    {
        if (!await _writing.WaitAsync(patience, ct)) return;
        try
        {
            foreach (var (person, at) in _seen)
            {
                if (clock.GetElapsedTime(at) > WriteEvery) _seen.TryRemove(new(person, at));
            }
            var people = _unwritten.ToArray();
            if (people.Length > 0) await WriteAsync(people, ct);
        }
        finally
        {
            _writing.Release();
        }
    }

    public override void Dispose()
    {
        _work.Dispose();
        _writing.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var pause = BetweenWrites;
            try
            {
                await _work.WaitAsync(stoppingToken);
                await FlushAsync(Timeout.InfiniteTimeSpan, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Who was last seen when could not be written; it is tried again in {Seconds} s", WriteEvery.TotalSeconds);
                pause = WriteEvery;
            }
            await Task.Delay(pause, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task WriteAsync(KeyValuePair<Person, long>[] people, CancellationToken ct)
    {
        // Taken out before: who is seen from here on is to be written once more.
        foreach (var person in people) _unwritten.TryRemove(person);
        try
        {
            // users' key. A row that somebody else has in hand is passed over: nobody is to wait for this.
            await using var command = source.CreateCommand("""
                UPDATE users SET last_seen_at = greatest(users.last_seen_at, clock_timestamp() - make_interval(secs => theirs.ago)) FROM (
                  SELECT u.app_no, u.id, seen.ago FROM unnest($1, $2, $3) AS seen (app_no, id, ago) JOIN users u ON u.app_no = seen.app_no AND u.id = seen.id
                  FOR NO KEY UPDATE OF u SKIP LOCKED) AS theirs
                WHERE users.app_no = theirs.app_no AND users.id = theirs.id
                """);
            command.Parameters.Add(new() { Value = people.Select(p => p.Key.AppNo).ToArray() });
            command.Parameters.Add(new() { Value = people.Select(p => p.Key.UserId).ToArray() });
            command.Parameters.Add(new() { Value = people.Select(p => clock.GetElapsedTime(p.Value).TotalSeconds).ToArray() });
            await command.ExecuteNonQueryAsync(ct);
        }
        catch
        {
            // Also when a request was broken off that happened to write for all.
            foreach (var (person, at) in people) _unwritten.TryAdd(person, at);
            Signal();
            throw;
        }
    }

    private void Signal()
    {
        try
        {
            _work.Release();
        }
        catch (SemaphoreFullException)
        {
            // Two came at once; one signal is enough for both.
        }
    }
}
