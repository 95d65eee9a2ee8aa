using System.Buffers;
using CampaignService.Channels;
using CampaignService.Channels.InApp;
using CampaignService.Common;
using CampaignService.Data;

namespace CampaignService.Delivery.External;

/// <summary>
/// One turn at one chunk: sends to those whose turn it is, in order, while results are written behind it. Before a call begins, that it may
/// begin is committed. Die in the middle, and who was below that mark and has no result may have got the message; nobody else has.
/// </summary>
internal sealed class ChunkRun(ExternalClaim claim, ChannelLine line, BatchGate batch, ExternalWorks works, bool isProbe, CancellationToken stop, CancellationToken abandon) : IDisposable
{
    /// <summary>By how many people the intent is moved on, and how near its end: together as many may be uncertain after a crash.</summary>
    private const int Window = 200, Margin = 50;

    /// <summary>Results that are not written at once, but with the next that has to be.</summary>
    private const int MostUnwritten = 250;

    /// <summary>No call begins so long after the last sign of life was sent: the lease may end 2 s later.</summary>
    private static readonly TimeSpan SureOfLease = TimeSpan.FromSeconds(13);

    private static readonly TimeSpan WriteAtLeast = TimeSpan.FromMilliseconds(250), RenewAtLeast = TimeSpan.FromSeconds(3), LookAtLeast = TimeSpan.FromMilliseconds(200);

    /// <summary>As metrics name what came of calls, in the order of <see cref="SendOutcome"/>.</summary>
    private static readonly string[] OutcomeNames = ["delivered", "retried", "failed", "uncertain"];

    private readonly SemaphoreSlim _writeNow = new(0), _written = new(0);
    private readonly List<string> _served = [];
    private readonly int[] _outcomes = new int[4];
    private ChunkPass _pass = null!;
    private long _renewedAt = claim.ClaimedAt;
    private int _intent, _wanted, _calls = 1, _unstarted = claim.N;
    private volatile bool _isLost, _isRecalled, _isDone;
    private readonly TaskCompletionSource _allAnswered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public BatchGate Batch => batch;

    public ExternalClaim Claim => claim;

    /// <summary>Those in hand whose calls have not begun.</summary>
    public int Unstarted => Volatile.Read(ref _unstarted);

    /// <summary>Of a probe: whether the provider takes messages again.</summary>
    public bool HasSucceeded { get; private set; }

    private TimeProvider Clock => works.Clock;

    public async Task RunAsync()
    {
        _pass = await BeginAsync();
        if (claim.Intent > 0 || claim.Starts > LeaseRescuer.MaxStarts)
        {
            if (!await TakeOverAsync()) return;
            _pass = await BeginAsync();
        }
        var writing = WriteAllAsync();
        try
        {
            await SendAllAsync();
        }
        finally
        {
            Interlocked.Exchange(ref _unstarted, 0);
            works.Wake();
            if (Interlocked.Decrement(ref _calls) == 0) _allAnswered.TrySetResult();
            await _allAnswered.Task;
            _isDone = true;
            _writeNow.Release();
            await writing;
        }
        await EndAsync();
    }

    public void Dispose()
    {
        _writeNow.Dispose();
        _written.Dispose();
    }

    private async Task<ChunkPass> BeginAsync()
    {
        List<ChunkPerson>? people = null;
        while (people is null)
        {
            try
            {
                people = await works.Chunks.LoadAsync(claim, CancellationToken.None);
            }
            catch (Exception e) when (DatabaseHealth.IsConnectionLoss(e) && Clock.GetElapsedTime(claim.ClaimedAt) < SureOfLease)
            {
                await WaitAsync(LookAtLeast);
            }
        }
        var pass = new ChunkPass(claim, people, line.Route.Settings.OnUncertain == UncertainPolicy.Resend, works.Settings, Clock, isProbe);
        Volatile.Write(ref _unstarted, pass.Targets.Count);
        return pass;
    }

    /// <summary>The worker before died. What it may have sent is uncertain, and that is committed before anything is sent again.</summary>
    /// <returns>False when there is nothing more to do.</returns>
    private async Task<bool> TakeOverAsync()
    {
        var isSetAside = claim.Starts > LeaseRescuer.MaxStarts;
        _pass.NoteLost(isSetAside);
        var state = _pass.Now(intent: 0);
        if (isSetAside)
        {
            await works.Chunks.SetAsideAsync(claim, state, CancellationToken.None);
            Telemetry.ChunkSetAside();
            works.Log.LogError("Chunk {No} of batch {Batch} was started {Starts} times without a result; it is set aside as failed", claim.No, claim.BatchId, claim.Starts - 1);
            await works.Finisher.TryFinishAsync(claim.BatchId, CancellationToken.None);
            return false;
        }
        if (await works.Chunks.NoteAsync(claim, state, end: null, isTakeover: true, CancellationToken.None) is not { } answer) return false;
        Learn(answer);
        Telemetry.ChunkRescued();
        works.Log.LogWarning("Chunk {No} of batch {Batch} was left by a worker that died; {Lost} messages may have been sent", claim.No, claim.BatchId, _pass.Lost.Count);
        claim = claim with { Results = state.Results, Intent = 0, Delivered = state.Delivered, Failed = state.Failed, Skipped = state.Skipped, Uncertain = state.Uncertain };
        return true;
    }

    private async Task SendAllAsync()
    {
        var template = batch.Content.Channels[claim.ChannelNo].Template;
        var source = batch.SourceOn(line.Route.ChannelId);
        var group = new List<(ChunkTarget Target, OutgoingMessage Message)>();
        var hasShown = false;
        var targets = isProbe ? _pass.LeastTried : _pass.Targets;
        for (var i = 0; i < targets.Count; i++)
        {
            var target = targets[i];
            var (reason, detail) = target.Person.IsGone ? ("address_gone", null)
                : template.MissingFor(target.Person.Vars) is { } missing ? (InAppMessages.MissingVariable, missing)
                : template.InvalidFor(target.Person.Vars) is { } invalid ? (InAppMessages.InvalidVariable, invalid) : (null, (string?)null);
            if (reason is not null) _pass.Skip(target, reason, detail);
            else
            {
                var content = new ArrayBufferWriter<byte>(512);
                template.Render(content, target.Person.Vars);
                group.Add((target, new OutgoingMessage(works.Ids.Of(claim.BatchId, claim.ChannelNo, target.Person.UserId), target.Person.UserId, content.WrittenMemory, source)));
            }
            var isFull = group.Count > 0 && (isProbe || group.Count >= line.Route.Settings.BatchSize || i == targets.Count - 1);
            if (!isFull) continue;
            if (isProbe) _pass.LeaveOthers(group[0].Target);
            if (!await MayBeginAsync(group)) return;
            Interlocked.Increment(ref _calls);
            Interlocked.Add(ref _unstarted, -group.Count);
            var call = CallAsync([.. group]);
            group.Clear();
            if (_unstarted == 0 || _unstarted == Window) works.Wake();
            if (isProbe) return;
            // What has cost a worker already shows a result before it goes on: only what dies before any counts against it.
            if (claim.Starts > 1 && !hasShown) await ShowResultAsync(call);
            hasShown = true;
        }
    }

    /// <summary>Waits until a call may begin: for limits, the intent, and one of the calls allowed at once.</summary>
    /// <returns>False when none may begin any more in this turn.</returns>
    private async Task<bool> MayBeginAsync(List<(ChunkTarget Target, OutgoingMessage Message)> group)
    {
        if (await PassAsync(batch.Slots, group.Count) is null || await PassAsync(line.Slots, group.Count) is not { } slot || !await IntendAsync(group[^1].Target.Place + 1)) return false;
        while (true)
        {
            await line.Permits.TakeAsync(claim.IsDirect);
            if (IsClosed)
            {
                line.Permits.Give();
                return false;
            }
            if (isProbe) return true;
            var held = line.Held;
            if (held <= TimeSpan.Zero)
            {
                // So long in coming that the slot is over: with a new one it begins at its time, and the permit stays.
                if (!line.Slots.IsOver(slot)) return true;
                if (await PassAsync(line.Slots, group.Count) is { } next) (slot, held) = (next, line.Held);
                if (!IsClosed && held <= TimeSpan.Zero) return true;
            }
            line.Permits.Give();
            await WaitAsync(held);
            if (IsClosed) return false;
        }
    }

    /// <summary>No call may begin any more in this turn.</summary>
    private bool IsClosed => _isLost || _isRecalled || stop.IsCancellationRequested || !line.Route.Enabled || Clock.GetElapsedTime(Volatile.Read(ref _renewedAt)) > SureOfLease
        || (!isProbe && (line.IsBroken || batch.State != BatchState.Sending));

    /// <returns>The slot, which has come; the end of time where there is no limit, and null when no call may begin any more in this turn.</returns>
    private async Task<DateTimeOffset?> PassAsync(RateSlots slots, int count)
    {
        var at = DateTimeOffset.MaxValue;
        while (slots.PerSecond is not null && !isProbe)
        {
            if (IsClosed) return null;
            var version = slots.Version;
            try
            {
                at = await slots.TakeAsync(count, stop);
            }
            catch (Exception e) when (DatabaseHealth.IsConnectionLoss(e) || e is OperationCanceledException)
            {
                await WaitAsync(LookAtLeast);
                continue;
            }
            while (at > Clock.GetUtcNow() && slots.Version == version && !IsClosed) await WaitAsync(at - Clock.GetUtcNow());
            if (slots.Version == version) break;
        }
        return IsClosed ? null : at;
    }

    /// <summary>Waits, but not longer than until somebody should look again.</summary>
    private Task WaitAsync(TimeSpan time) => Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(Math.Clamp(time.TotalMilliseconds, 0, LookAtLeast.TotalMilliseconds))), Clock);

    /// <summary>Returns when it is committed that calls up to this place may begin.</summary>
    private async Task<bool> IntendAsync(int upTo)
    {
        // Under a limit no more than what begins in a second.
        var rate = Math.Min(batch.Slots.PerSecond ?? double.MaxValue, line.Slots.PerSecond ?? double.MaxValue);
        var window = isProbe || (claim.Starts > 1 && _intent == 0) ? 1 : (int)Math.Clamp(rate, line.Route.Settings.BatchSize, Window);
        var wanted = Volatile.Read(ref _wanted);
        if (wanted < claim.N && upTo + Math.Min(Margin, window / 4) > wanted)
        {
            Volatile.Write(ref _wanted, Math.Min(claim.N, Math.Max(wanted, upTo - 1) + window));
            _writeNow.Release();
        }
        while (Volatile.Read(ref _intent) < upTo && !IsClosed) await _written.WaitAsync(LookAtLeast);
        return !IsClosed;
    }

    private async Task ShowResultAsync(Task call)
    {
        await call;
        while (_pass.Fresh > 0 && !IsClosed)
        {
            _writeNow.Release();
            await _written.WaitAsync(LookAtLeast);
        }
    }

    private async Task CallAsync((ChunkTarget Target, OutgoingMessage Message)[] group)
    {
        await Task.Yield();
        try
        {
            var result = await SendAsync(group);
            if (line.Heard(ref result, [.. group.Select(g => g.Target.Person.UserId)])) works.Wake();
            // That one person is gone may be said of everybody: it is no message that was looked at.
            HasSucceeded = result.Outcome == SendOutcome.Sent || (result.Outcome == SendOutcome.Rejected && result.Category != FailureCategory.AddressGone);
            foreach (var (target, _) in group) _pass.Take(target, result);
            if (result.Outcome == SendOutcome.Sent)
            {
                lock (_served) _served.AddRange(group.Select(g => g.Target.Person.UserId));
            }
            Interlocked.Add(ref _outcomes[(int)result.Outcome], group.Length);
            if (_pass.Fresh >= MostUnwritten) _writeNow.Release();
        }
        finally
        {
            line.Permits.Give();
            if (Interlocked.Decrement(ref _calls) == 0) _allAnswered.TrySetResult();
        }
    }

    private async Task<SendResult> SendAsync((ChunkTarget Target, OutgoingMessage Message)[] group)
    {
        try
        {
            return await line.Channel.SendAsync(line.Route, [.. group.Select(g => g.Message)], abandon);
        }
        catch (Exception e)
        {
            works.Log.LogError(e, "A call by channel {Channel} failed in a way that channels do not fail", line.Route.ChannelId);
            return SendResult.Uncertain(FailureCategory.ConnectionLost, "a fault of the service");
        }
    }

    /// <summary>Writes behind the calls until they are all answered.</summary>
    private async Task WriteAllAsync()
    {
        while (!_isDone && !_isLost)
        {
            await _writeNow.WaitAsync(WriteAtLeast);
            while (_writeNow.CurrentCount > 0) await _writeNow.WaitAsync(0);
            if (_isDone) return;
            var isDue = _pass.Fresh > 0 || Volatile.Read(ref _wanted) > _intent || Clock.GetElapsedTime(_renewedAt) >= RenewAtLeast;
            if (isDue) await TryWriteAsync(end: false);
            if (_written.CurrentCount == 0) _written.Release();
        }
    }

    /// <returns>False when the database could not be reached: nobody knows whether it was written, and writing it again does no harm.</returns>
    private async Task<bool> TryWriteAsync(bool end)
    {
        var sentAt = Clock.GetTimestamp();
        var wanted = Volatile.Read(ref _wanted);
        var (state, ending) = end ? _pass.AtEnd(_isLost ? null : GivenBackFor) : (_pass.Now(wanted), (PassEnd?)null);
        try
        {
            if (await works.Chunks.NoteAsync(claim, state, ending, isTakeover: false, CancellationToken.None) is not { } answer)
            {
                _isLost = true;
                return true;
            }
            _pass.Saved(state);
            Volatile.Write(ref _renewedAt, sentAt);
            if (!end) Volatile.Write(ref _intent, wanted);
            Learn(answer);
            _ended = ending;
            works.Pulse.Progressed(claim.BatchId);
            for (var i = 0; i < _outcomes.Length; i++)
            {
                if (Interlocked.Exchange(ref _outcomes[i], 0) is > 0 and var count) Telemetry.Sent("webhook", OutcomeNames[i], count);
            }
            return true;
        }
        catch (Exception e) when (DatabaseHealth.IsConnectionLoss(e) || DatabaseHealth.IsTimeout(e))
        {
            return false;
        }
        catch (Exception e)
        {
            // It would fail again: let whoever takes it over find out.
            works.Log.LogError(e, "Results of chunk {No} of batch {Batch} could not be written", claim.No, claim.BatchId);
            _isLost = true;
            return true;
        }
    }

    private PassEnd? _ended;

    /// <summary>A provider that is left alone for a while needs nobody to hold its chunks.</summary>
    private TimeSpan? GivenBackFor => line.IsBroken && !isProbe ? TimeSpan.FromSeconds(1) : null;

    private async Task EndAsync()
    {
        while (!_isLost && !await TryWriteAsync(end: true))
        {
            if (Clock.GetElapsedTime(_renewedAt) > SureOfLease) _isLost = true;
            else await WaitAsync(LookAtLeast);
        }
        if (_isLost)
        {
            string[] served;
            lock (_served) served = [.. _served];
            Telemetry.ChunkAbandoned();
            await works.Chunks.NoteLateAsync(claim, served, CancellationToken.None);
            return;
        }
        var isClosed = _ended!.State == 4;
        if (isClosed) Telemetry.ChunkClosed();
        else if (batch.State != BatchState.Sending || !line.Route.Enabled) isClosed = await works.Chunks.SettleAsync(claim, CancellationToken.None);
        if (isClosed) await works.Finisher.TryFinishAsync(claim.BatchId, CancellationToken.None);
    }

    private void Learn(NoteAnswer answer)
    {
        batch.Learn(answer.BatchState, answer.RatePerSecond);
        if (answer.IsRecalled) _isRecalled = true;
    }
}

/// <summary>What every turn at a chunk works with.</summary>
internal sealed record ExternalWorks(
    ExternalChunks Chunks, BatchFinisher Finisher, DeliveryPulse Pulse, MessageIds Ids, ExternalSettings Settings, TimeProvider Clock, ILogger Log, Action Wake);
