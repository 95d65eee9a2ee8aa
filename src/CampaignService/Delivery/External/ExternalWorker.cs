using System.Collections.Concurrent;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Delivery.External;

/// <summary>
/// Sends what goes to providers: keeps enough chunks in hand for each channel, each in a turn of its own, so that no limit, pause or slow
/// provider of one holds up another. Nothing waits in this loop but for the database.
/// </summary>
public sealed class ExternalWorker : StoppedOnce
{
    /// <summary>How often it is looked for what is due, what changed, and what died.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(250), DueEvery = TimeSpan.FromMilliseconds(200), ControlEvery = TimeSpan.FromMilliseconds(400), LookAfterEvery = TimeSpan.FromSeconds(1), TidyEvery = TimeSpan.FromMinutes(10);

    /// <summary>What calls get to come to their end when the service is asked to stop; the host waits 10 s.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(7);

    private readonly ConcurrentDictionary<int, ChannelLine> _lines = new();
    private readonly ConcurrentDictionary<long, BatchGate> _batches = new();
    private readonly ConcurrentDictionary<int, Task> _probes = new();
    private readonly HashSet<int> _unusable = [];
    private readonly CancellationTokenSource _stopping = new(), _abandon = new();
    private readonly SemaphoreSlim _readingControl = new(1);
    private readonly NpgsqlDataSource _source;
    private readonly IServiceScopeFactory _scopes;
    private readonly BatchSources _sources;
    private readonly BatchFinisher _finisher;
    private readonly Dictionary<ChannelType, IChannel> _channels;
    private readonly SecretBox _box;
    private readonly WorkSignal _signal;
    private readonly ExternalWorks _works;
    private readonly Circuits _circuits;
    private volatile TaskCompletionSource _wake = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _tending = Task.CompletedTask;

    /// <summary>The lanes in which there was something when it was last looked: for a line that wants its next chunk, that is soon enough.</summary>
    private ILookup<int, short>? _ready;
    private long _readReady, _wokeDue, _readControl, _lookedAfter, _tended, _tidied;
    private bool _lost;

    public ExternalWorker(
        [FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, IServiceScopeFactory scopes, BatchSources sources, IEnumerable<IChannel> channels, BatchFinisher finisher, BatchHold hold,
        DeliveryPulse pulse, MessageIds ids, SecretBox box, WorkSignal signal, IOptions<ExternalSettings> settings, TimeProvider clock, ILogger<ExternalWorker> log)
    {
        (_source, _scopes, _sources, _finisher, _box, _signal) = (source, scopes, sources, finisher, box, signal);
        _channels = channels.ToDictionary(c => c.Type);
        _works = new ExternalWorks(new ExternalChunks(source, clock), pulse, ids, settings.Value, clock, log, Wake);
        _circuits = new Circuits(source, hold);
    }

    public override void Dispose()
    {
        base.Dispose();
        foreach (var line in _lines.Values) line.Dispose();
        foreach (var batch in _batches.Values) batch.Dispose();
        _stopping.Dispose();
        _abandon.Dispose();
        _readingControl.Dispose();
    }

    /// <summary>Takes what there is to take, and looks after what has to be looked after by now.</summary>
    /// <param name="everything">Whether to look after everything now, however long it is since the last time.</param>
    /// <param name="stop">Takes nothing more.</param>
    /// <returns>Whether anything was taken.</returns>
    public async Task<bool> TurnAsync(bool everything, CancellationToken stop)
    {
        await _works.Pulse.BeatAsync(stop);
        if (everything || IsDue(ref _wokeDue, DueEvery)) await _works.Chunks.WakeDueAsync(stop);
        await TellBrokenAsync(stop);
        if (everything || IsDue(ref _readControl, ControlEvery)) await ReadControlAsync(stop);
        var taken = false;
        if (everything || IsDue(ref _lookedAfter, LookAfterEvery)) taken = await LookAfterAsync(stop);
        if (_tending.IsCompleted && (everything || IsDue(ref _tended, LookAfterEvery))) _tending = TendAsync(stop);
        if (everything || _ready is null || IsDue(ref _readReady, Tick)) _ready = await _works.Chunks.ReadyLanesAsync(stop);
        foreach (var ready in _ready) taken |= await TakeAsync(ready.Key, [.. ready], stop);
        return taken;
    }

    /// <summary>Sends until there is nothing left that can be sent now.</summary>
    public async Task DrainAsync(CancellationToken stop)
    {
        bool taken;
        do
        {
            taken = await TurnAsync(everything: true, stop);
            await _tending;
            await Task.WhenAll([.. Runs, .. _probes.Values]);
        }
        while (taken);
        await TellBrokenAsync(stop);
        await TendAsync(stop);
        await Task.WhenAll(_probes.Values);
    }

    protected override async Task StopOnceAsync(CancellationToken ct)
    {
        await _stopping.CancelAsync();
        _abandon.CancelAfter(Grace);
        await StopLoopAsync(ct);
        await Task.WhenAll([.. Runs, _tending]).WaitAsync(ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var (next, wake) = (_signal.Next, _wake.Task);
            try
            {
                await TurnAsync(everything: false, stoppingToken);
                _lost = false;
                await _signal.WaitAsync(Task.WhenAny(next, wake), Tick, stoppingToken);
                // Whoever gives the signal may have paused something.
                if (next.IsCompleted) _readControl = 0;
                if (next.IsCompleted || !wake.IsCompleted) _ready = null;
                Interlocked.Exchange(ref _wake, new(TaskCreationOptions.RunContinuationsAsynchronously));
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Report(e);
                await Task.Delay(Tick, _works.Clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private Task[] Runs => [.. _lines.Values.SelectMany(l => l.Runs.Values)];

    private void Wake() => _wake.TrySetResult();

    private async Task<bool> TakeAsync(int channelNo, HashSet<short> ready, CancellationToken stop)
    {
        var taken = false;
        if (await TryLineAsync(channelNo, stop) is not { } line) return false;
        while (!stop.IsCancellationRequested && line.Wants(out var not).Where(ready.Contains).ToArray() is { Length: > 0 } lanes)
        {
            if (await _works.Chunks.ClaimAsync(channelNo, lanes, not, line.Slots.PerSecond is null ? ChunkRun.Window : 0, stop) is not { } claim)
            {
                _ready = null;
                break;
            }
            taken = true;
            _ = await StartAsync(claim, line, isProbe: false);
        }
        return taken;
    }

    private async Task<(ChunkRun Run, Task Ended)> StartAsync(ExternalClaim claim, ChannelLine line, bool isProbe)
    {
        var batch = await BatchAsync(claim.BatchId);
        var run = new ChunkRun(claim, line, batch, _works, isProbe, _stopping.Token, _abandon.Token);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        line.Runs[run] = ended.Task;
        batch.Take();
        _ = Task.Run(async () =>
        {
            await RunAsync(run, line);
            ended.SetResult();
        });
        return (run, ended.Task);
    }

    private async Task RunAsync(ChunkRun run, ChannelLine line)
    {
        var isClosed = false;
        try
        {
            isClosed = await run.RunAsync();
        }
        catch (Exception e)
        {
            _works.Log.LogError(e, "A turn at chunk {No} of batch {Batch} failed; it is taken over when its lease has ended", run.Claim.No, run.Claim.BatchId);
        }
        try
        {
            if (run.Batch.Put(isClosed)) await _finisher.TryFinishAsync(run.Batch.Id, CancellationToken.None);
        }
        catch (Exception e)
        {
            if (!DatabaseHealth.IsConnectionLoss(e)) _works.Log.LogError(e, "Batch {Batch} could not be ended; it is tried again within a second", run.Batch.Id);
        }
        finally
        {
            line.Runs.TryRemove(run, out _);
            run.Dispose();
        }
    }

    /// <summary>What died, what waits, what is down, and what lies about.</summary>
    private async Task<bool> LookAfterAsync(CancellationToken stop)
    {
        var taken = false;
        foreach (var batchId in await _works.Chunks.WaitingBatchesAsync([.. _lines.Keys], stop)) _works.Pulse.Progressed(batchId);
        while (await _works.Chunks.ClaimDeadAsync(Unusable, stop) is { } claim)
        {
            // Where there is no line, the lease ends once more, and it is for a process that has one.
            if (await TryLineAsync(claim.ChannelNo, stop) is not { } line) continue;
            taken = true;
            _ = await StartAsync(claim, line, isProbe: false);
        }
        if (IsDue(ref _tidied, TidyEvery)) await TidyAsync(stop);
        return taken;
    }

    /// <summary>
    /// Tries providers that are down, pauses what goes by them, and lets go on what went by those that are not. Beside the turns, one at a time: with
    /// thousands of batches it takes long, and some of them may be locked.
    /// </summary>
    private async Task TendAsync(CancellationToken stop)
    {
        try
        {
            foreach (var channelNo in await _circuits.DueAsync(stop))
            {
                if (await TryLineAsync(channelNo, stop) is { } line) _probes[channelNo] = ProbeAsync(line, channelNo);
            }
            // Both, each turn: neither is to wait for the other's end.
            if (await _circuits.HoldAsync(stop) | await _circuits.ReleaseAsync(stop)) Volatile.Write(ref _tended, 0);
        }
        catch (Exception e)
        {
            if (!DatabaseHealth.IsConnectionLoss(e) && !stop.IsCancellationRequested) _works.Log.LogError(e, "Looking after the channels that are down failed; it is done again at once");
        }
    }

    private async Task ProbeAsync(ChannelLine line, int channelNo)
    {
        try
        {
            if (!line.Route.Enabled) await _circuits.CloseAsync(channelNo, CancellationToken.None);
            else if (await _works.Chunks.ClaimProbeAsync(channelNo, CancellationToken.None) is not { } claim)
            {
                if (!await _circuits.CloseIfUnusedAsync(channelNo, CancellationToken.None)) return;
            }
            else
            {
                var (run, ended) = await StartAsync(claim, line, isProbe: true);
                await ended;
                if (!run.HasSucceeded)
                {
                    await _circuits.FailedAsync(channelNo, CancellationToken.None);
                    return;
                }
                _works.Log.LogInformation("Channel {Channel} takes messages again", line.Route.ChannelId);
                await _circuits.CloseAsync(channelNo, CancellationToken.None);
            }
            line.Learn(isBroken: false);
            Wake();
        }
        catch (Exception e)
        {
            if (!DatabaseHealth.IsConnectionLoss(e)) _works.Log.LogError(e, "Trying channel {Channel} failed", line.Route.ChannelId);
        }
    }

    private async Task TellBrokenAsync(CancellationToken stop)
    {
        foreach (var (channelNo, line) in _lines)
        {
            if (line.BrokenBy is not { } because) continue;
            _works.Log.LogWarning("Channel {Channel} is down ({Category}: {Detail}); what is sent by it is paused and goes on by itself", line.Route.ChannelId, because.Category, because.Detail);
            await _circuits.OpenAsync(channelNo, because, line.GoneSince, stop);
            line.Told();
            _tended = 0;
        }
    }

    /// <summary>What verbs have changed: batches that are paused or stopped, limits, channels; and what other processes found to be down.</summary>
    internal async Task ReadControlAsync(CancellationToken stop)
    {
        // One after the other: nobody is to learn something older after something newer.
        await _readingControl.WaitAsync(stop);
        try
        {
            await ReadControlAloneAsync(stop);
        }
        finally
        {
            _readingControl.Release();
        }
    }

    private async Task ReadControlAloneAsync(CancellationToken stop)
    {
        var busy = _lines.Values.SelectMany(l => l.Runs.Keys).Select(r => r.Batch.Id).ToHashSet();
        // Not disposed of: somebody may just be about to take it up.
        foreach (var id in _batches.Keys.Where(id => !busy.Contains(id))) _batches.TryRemove(id, out _);
        if (_lines.IsEmpty) return;
        await using var look = _source.CreateBatch();
        look.BatchCommands.Add(new("SELECT id, state, rate_per_second FROM batches WHERE id = ANY ($1)") { Parameters = { new() { Value = busy.ToArray() } } }); // batches' key
        look.BatchCommands.Add(new("SELECT no, xmin::text FROM channels WHERE no = ANY ($1)") { Parameters = { new() { Value = _lines.Keys.ToArray() } } }); // index on channels (no)
        look.BatchCommands.Add(new("SELECT channel_no FROM channel_circuits"));
        var (versions, open) = (new Dictionary<int, string>(), new HashSet<int>());
        await using (var reader = await look.ExecuteReaderAsync(stop))
        {
            while (await reader.ReadAsync(stop))
            {
                if (_batches.TryGetValue(reader.GetInt64(0), out var gate)) gate.Learn((BatchState)reader.GetInt16(1), reader.IsDBNull(2) ? null : reader.GetDouble(2));
            }
            await reader.NextResultAsync(stop);
            while (await reader.ReadAsync(stop)) versions[reader.GetInt32(0)] = reader.GetString(1);
            await reader.NextResultAsync(stop);
            while (await reader.ReadAsync(stop)) open.Add(reader.GetInt32(0));
        }
        foreach (var (no, line) in _lines)
        {
            line.Learn(open.Contains(no));
            if (versions.TryGetValue(no, out var version) && version != line.Version && await TryRouteAsync(no, stop) is { } route) (line.Route, line.Version) = (route, version);
        }
    }

    /// <returns>Null when this process cannot send by it, as when it lacks the key to its secrets: all others go on.</returns>
    private async Task<ChannelLine?> TryLineAsync(int channelNo, CancellationToken ct)
    {
        if (_lines.TryGetValue(channelNo, out var known)) return known;
        if (await TryRouteAsync(channelNo, ct) is not { } route) return null;
        var line = new ChannelLine(route, _channels[route.Type], new RateSlots(_source, $"channel:{channelNo}", _works.Clock), _works.Settings, _works.Clock) { Route = route };
        return _lines.GetOrAdd(channelNo, line);
    }

    private int[] Unusable
    {
        get
        {
            lock (_unusable) return [.. _unusable];
        }
    }

    private async Task<ChannelRoute?> TryRouteAsync(int channelNo, CancellationToken ct)
    {
        try
        {
            var route = await RouteAsync(channelNo, ct);
            lock (_unusable) _unusable.Remove(channelNo);
            return route;
        }
        catch (Exception e) when (!DatabaseHealth.IsConnectionLoss(e) && !DatabaseHealth.IsTimeout(e) && e is not OperationCanceledException)
        {
            bool isNew;
            lock (_unusable) isNew = _unusable.Add(channelNo);
            if (isNew) _works.Log.LogError(e, "Channel number {Channel} cannot be used as it is set now; it is tried again all the time, and the others go on", channelNo);
            return null;
        }
    }

    private async Task<ChannelRoute> RouteAsync(int channelNo, CancellationToken ct)
    {
        await using var scope = _scopes.CreateAsyncScope();
        var channel = await scope.ServiceProvider.GetRequiredService<CampaignsDb>().Channels.AsNoTracking().SingleAsync(c => c.No == channelNo, ct);
        return new ChannelRoute(channel.No, channel.ChannelId, channel.Type, channel.Enabled, channel.Settings!, channel.Secrets(_box));
    }

    private async Task<BatchGate> BatchAsync(long batchId)
    {
        if (_batches.TryGetValue(batchId, out var known)) return known;
        await using var scope = _scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var batch = await db.Batches.AsNoTracking().SingleAsync(b => b.Id == batchId);
        var slug = await db.Templates.Where(t => t.Id == batch.TemplateId).Select(t => t.TemplateId).SingleAsync();
        var gate = new BatchGate(batchId, (await _sources.FindAsync(batchId, CancellationToken.None))!, slug, new RateSlots(_source, $"batch:{batchId}", _works.Clock));
        gate.Learn(batch.State, batch.RatePerSecond);
        return _batches.GetOrAdd(batchId, gate);
    }

    private async Task TidyAsync(CancellationToken ct)
    {
        await using var command = _source.CreateCommand($"""
            DELETE FROM rate_slots WHERE next_at < clock_timestamp() - interval '1 day';
            DELETE FROM gone_addresses g USING channels c WHERE c.no = g.channel_no AND (g.at < clock_timestamp() - interval '{ExternalChunks.DaysGone} days' OR g.at < c.server_since)
            """);
        await command.ExecuteNonQueryAsync(ct);
    }

    private bool IsDue(ref long last, TimeSpan every)
    {
        if (last != 0 && _works.Clock.GetElapsedTime(last) < every) return false;
        last = _works.Clock.GetTimestamp();
        return true;
    }

    private void Report(Exception e)
    {
        if (!DatabaseHealth.IsConnectionLoss(e)) _works.Log.LogError(e, "A turn of the external worker failed; going on at once. What it had begun is free again when its lease ends");
        else if (!_lost) _works.Log.LogWarning("The database cannot be reached; sending goes on when it is back: {Message}", e.Message);
        _lost = DatabaseHealth.IsConnectionLoss(e);
        if (_lost) _works.Pulse.Forget();
    }
}
