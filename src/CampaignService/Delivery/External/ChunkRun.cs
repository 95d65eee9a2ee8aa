using System.Buffers;
using System.Runtime.CompilerServices;
using CampaignService.Channels;
using CampaignService.Channels.InApp;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;

namespace CampaignService.Delivery.External;

/// <summary>
/// One turn at one chunk: sends to those whose turn it is, in order, while results are written behind it. Before a call begins, that it may
/// begin is committed. Die in the middle, and who was below that mark and has no result may have got the message; nobody else has.
/// </summary>
internal sealed class ChunkRun(ExternalClaim claim, ChannelLine line, BatchGate batch, ExternalWorks works, bool isProbe, CancellationToken stop, CancellationToken abandon) : IDisposable
{
    /// <summary>So far ahead of the calls the intent is at most: so many, and those whose calls are under way, may be uncertain after a crash. With it a chunk takes two writes between its claim and its end.</summary>
    internal const int Window = 400;

    /// <summary>With fewer left the intent is moved on, so that nobody waits for the commit.</summary>
    private const int MovedOnBefore = Window / 4;

    /// <summary>Results that are not written at once, but with the next that has to be.</summary>
    private const int MostUnwritten = 500;

    /// <summary>So often it is looked whether the line needs a further chunk: it is claimed and its people are read while this one goes on.</summary>
    private const int LookEvery = 100;

    /// <summary>No call begins so long after the last sign of life was sent: the lease may end 2 s later.</summary>
    private static readonly TimeSpan SureOfLease = TimeSpan.FromSeconds(13);

    private static readonly TimeSpan WriteAtLeast = TimeSpan.FromMilliseconds(250), RenewAtLeast = TimeSpan.FromSeconds(3), LookAtLeast = TimeSpan.FromMilliseconds(200);

    /// <summary>As metrics name what came of calls, in the order of <see cref="SendOutcome"/>.</summary>
    private static readonly string[] OutcomeNames = ["delivered", "retried", "failed", "uncertain"];

    /// <summary>A larger buffer is not kept for the next message.</summary>
    private const int MostKept = 64 * 1024;

    /// <summary>The slot where there is no limit.</summary>
    private static readonly DateTimeOffset NoLimit = DateTimeOffset.MaxValue;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _content;

    private readonly SemaphoreSlim _writeNow = new(0), _written = new(0);
    private readonly int[] _outcomes = new int[4];
    private ChunkPass _pass = null!;
    private long _renewedAt = claim.ClaimedAt;
    private int _intent = claim.MayBegin, _wanted = claim.MayBegin, _calls = 1, _unstarted = claim.N;
    private volatile bool _isLost, _isRecalled, _isDone;
    private readonly TaskCompletionSource _allAnswered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public BatchGate Batch => batch;

    public ExternalClaim Claim => claim;

    /// <summary>Those in hand whose calls have not begun.</summary>
    public int Unstarted => Volatile.Read(ref _unstarted);

    /// <summary>Of a probe: whether the provider takes messages again.</summary>
    public bool HasSucceeded { get; private set; }

    private TimeProvider Clock => works.Clock;

    /// <returns>Whether nothing is left to do in the chunk.</returns>
    public async Task<bool> RunAsync()
    {
        _pass = await BeginAsync();
        if (claim.Starts > LeaseRescuer.MaxStarts) return await SetAsideAsync();
        if (claim.Intent > 0)
        {
            if (!await TakeOverAsync()) return false;
            _pass = await BeginAsync();
        }
        var writing = WriteAllAsync();
        try
        {
            await SendAllAsync();
        }
        finally
        {
            // Of those that end early; else it was said when the last one began.
            if (Interlocked.Exchange(ref _unstarted, 0) > 0) works.Wake();
            if (Interlocked.Decrement(ref _calls) == 0) _allAnswered.TrySetResult();
            await _allAnswered.Task;
            _isDone = true;
            _writeNow.Release();
            await writing;
        }
        return await EndAsync();
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
        _pass.NoteLost(isSetAside: false);
        var state = _pass.Now(intent: 0);
        if (await works.Chunks.NoteAsync(claim, state, end: null, isTakeover: true, renews: true, CancellationToken.None) is not { } answer) return false;
        Learn(answer);
        Telemetry.ChunkRescued();
        works.Log.LogWarning("Chunk {No} of batch {Batch} was left by a worker that died; {Lost} messages may have been sent", claim.No, claim.BatchId, _pass.Lost.Count);
        claim = claim with { Results = state.Results, Intent = 0, Delivered = state.Delivered, Failed = state.Failed, Skipped = state.Skipped, Uncertain = state.Uncertain };
        return true;
    }

    /// <summary>Too many workers died of it. Die here, and whoever takes it next does the same.</summary>
    private async Task<bool> SetAsideAsync()
    {
        _pass.NoteLost(isSetAside: true);
        await works.Chunks.SetAsideAsync(claim, _pass.Now(intent: 0), CancellationToken.None);
        Telemetry.ChunkSetAside();
        works.Log.LogError("Chunk {No} of batch {Batch} was started {Starts} times without a result; it is set aside as failed", claim.No, claim.BatchId, claim.Starts - 1);
        return true;
    }

    private async Task SendAllAsync()
    {
        var template = batch.Content.Channels[claim.ChannelNo].Template;
        var source = batch.SourceOn(line.Route.ChannelId);
        var (people, messages) = (new List<ChunkTarget>(), new List<OutgoingMessage>());
        var hasShown = false;
        var targets = isProbe ? _pass.LeastTried : _pass.Targets;
        for (var i = 0; i < targets.Count; i++)
        {
            var target = targets[i];
            var vars = BinaryTextArray.Read(target.Person.Vars);
            var (reason, detail) = target.Person.IsGone ? ("address_gone", null)
                : template.MissingFor(vars) is { } missing ? (InAppMessages.MissingVariable, missing)
                : template.InvalidFor(vars) is { } invalid ? (InAppMessages.InvalidVariable, invalid) : (null, (string?)null);
            if (reason is not null)
            {
                _pass.Skip(target, reason, detail);
                Interlocked.Decrement(ref _unstarted);
            }
            else
            {
                people.Add(target);
                messages.Add(new OutgoingMessage(works.Ids.Of(claim.BatchId, claim.ChannelNo, target.Person.UserId), target.Person.UserId, Rendered(template, vars), source));
            }
            var isFull = people.Count > 0 && (isProbe || people.Count >= line.Route.Settings.BatchSize || i == targets.Count - 1);
            if (!isFull) continue;
            if (isProbe) _pass.LeaveOthers(people[0]);
            if (!await MayBeginAsync(people.Count, upTo: people[^1].Place + 1)) return;
            Interlocked.Increment(ref _calls);
            var left = Interlocked.Add(ref _unstarted, -people.Count);
            if ((left == 0 || left / LookEvery < (left + people.Count) / LookEvery) && line.IsShort) works.Wake();
            var call = CallAsync([.. people], [.. messages]);
            people.Clear();
            messages.Clear();
            if (isProbe) return;
            // What has cost a worker already shows a result before it goes on: only what dies before any counts against it.
            if (claim.Starts > 1 && !hasShown) await ShowResultAsync(call);
            hasShown = true;
        }
    }

    private static ReadOnlyMemory<byte> Rendered(BoundTemplate template, string?[] vars)
    {
        var content = _content ??= new ArrayBufferWriter<byte>(512);
        content.ResetWrittenCount();
        template.Render(content, vars);
        if (content.Capacity > MostKept) _content = null;
        return content.WrittenSpan.ToArray();
    }

    /// <summary>Waits until a call may begin: for limits, the intent, and one of the calls allowed at once.</summary>
    /// <returns>False when none may begin any more in this turn.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> MayBeginAsync(int count, int upTo)
    {
        if (await PassAsync(batch.Slots, count) is null || await PassAsync(line.Slots, count) is not { } slot || !await IntendAsync(upTo)) return false;
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
                if (slot == NoLimit || !line.Slots.IsOver(slot)) return true;
                if (await PassAsync(line.Slots, count) is { } next) (slot, held) = (next, line.Held);
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

    /// <returns>The slot, which has come, or <see cref="NoLimit"/>; null when no call may begin any more in this turn.</returns>
    private ValueTask<DateTimeOffset?> PassAsync(RateSlots slots, int count) => slots.PerSecond is null || isProbe ? new(NoLimit) : WaitForSlotAsync(slots, count);

    private async ValueTask<DateTimeOffset?> WaitForSlotAsync(RateSlots slots, int count)
    {
        var at = NoLimit;
        while (slots.PerSecond is not null)
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
    private ValueTask<bool> IntendAsync(int upTo)
    {
        if (upTo > _wanted - MovedOnBefore && _wanted < claim.N) Want(upTo);
        return upTo <= Volatile.Read(ref _intent) ? new(true) : IntendedAsync(upTo);
    }

    private void Want(int upTo)
    {
        // Under a limit no more than what begins in a second.
        var rate = Math.Min(batch.Slots.PerSecond ?? double.MaxValue, line.Slots.PerSecond ?? double.MaxValue);
        var window = isProbe || (claim.Starts > 1 && _intent == 0) ? 1 : (int)Math.Clamp(rate, line.Route.Settings.BatchSize, Window);
        var wanted = Math.Min(claim.N, upTo - 1 + window);
        // A small window is not moved on for each call.
        if (upTo <= _wanted && wanted < claim.N && wanted - _wanted <= window / 2) return;
        Volatile.Write(ref _wanted, wanted);
        _writeNow.Release();
    }

    private async ValueTask<bool> IntendedAsync(int upTo)
    {
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

    private async Task CallAsync(ChunkTarget[] people, OutgoingMessage[] messages)
    {
        SendResult result;
        try
        {
            result = await line.Channel.SendAsync(line.Route, messages, abandon);
        }
        catch (Exception e)
        {
            works.Log.LogError(e, "A call by channel {Channel} failed in a way that channels do not fail", line.Route.ChannelId);
            result = SendResult.Uncertain(FailureCategory.ConnectionLost, "a fault of the service");
        }
        try
        {
            if (line.Heard(ref result, messages)) works.Wake();
            // That one person is gone may be said of everybody: it is no message that was looked at.
            HasSucceeded = result.Outcome == SendOutcome.Sent || (result.Outcome == SendOutcome.Rejected && result.Category != FailureCategory.AddressGone);
            if (_pass.Take(people, result) is var fresh && fresh >= MostUnwritten && fresh - people.Length < MostUnwritten) _writeNow.Release();
            Interlocked.Add(ref _outcomes[(int)result.Outcome], people.Length);
        }
        finally
        {
            if (Interlocked.Decrement(ref _calls) == 0) _allAnswered.TrySetResult();
            // At the end: whoever waits for it begins the next call right here.
            line.Permits.Give();
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
        var renews = Clock.GetElapsedTime(_renewedAt, sentAt) >= RenewAtLeast;
        var wanted = Volatile.Read(ref _wanted);
        var (state, ending) = end ? _pass.AtEnd(_isLost ? null : GivenBackFor) : (_pass.Now(wanted), (PassEnd?)null);
        try
        {
            if (await works.Chunks.NoteAsync(claim, state, ending, isTakeover: false, renews, CancellationToken.None) is not { } answer)
            {
                _isLost = true;
                return true;
            }
            _pass.Saved(state);
            if (renews) Volatile.Write(ref _renewedAt, sentAt);
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

    private async Task<bool> EndAsync()
    {
        while (!_isLost && !await TryWriteAsync(end: true))
        {
            if (Clock.GetElapsedTime(_renewedAt) > SureOfLease) _isLost = true;
            else await WaitAsync(LookAtLeast);
        }
        if (_isLost)
        {
            Telemetry.ChunkAbandoned();
            await works.Chunks.NoteLateAsync(claim, _pass.Served, CancellationToken.None);
            return false;
        }
        var isClosed = _ended!.State == 4;
        if (isClosed) Telemetry.ChunkClosed();
        else if (batch.State != BatchState.Sending || !line.Route.Enabled) isClosed = await works.Chunks.SettleAsync(claim, CancellationToken.None);
        return isClosed;
    }

    private void Learn(NoteAnswer answer)
    {
        batch.Learn(answer.BatchState, answer.RatePerSecond);
        if (answer.IsRecalled) _isRecalled = true;
    }
}
