using System.Text.Json;
using CampaignService.Channels;

namespace CampaignService.Delivery.External;

/// <summary>
/// One pass over a chunk, in memory: who is to be sent to, what came of it, and what must be written. It decides what results mean for the
/// ledger, and touches nothing outside.
/// </summary>
/// <remarks>
/// A byte for each place in the chunk says what became of the person in this pass. Together with the intent it tells, after a crash, who may
/// have been called: below the intent, and still open.
/// </remarks>
internal sealed class ChunkPass
{
    /// <summary>Results by place: to be sent to; delivered; told by their exception; told by the chunk, and not to be sent to.</summary>
    internal const byte Open = 0, Delivered = 1, Noted = 2, AsChunk = 3;

    /// <summary>Only while a probe is under way: to be sent to, but not by it.</summary>
    private const byte Later = 4;

    /// <summary>Why a message is uncertain whose process died.</summary>
    internal const string WorkerDied = "worker_died";

    /// <summary>For how long a provider that takes nothing is left alone by one message; the channel's circuit leaves it alone for longer.</summary>
    private static readonly TimeSpan WhileUnavailable = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly ExternalClaim _claim;
    private readonly ExternalSettings _settings;
    private readonly bool _resends, _isProbe;
    private readonly TimeProvider _clock;
    private readonly byte[] _results;
    private readonly List<PersonNote> _notes = [];
    private readonly List<string> _served = [];
    private int _delivered, _failed, _skipped, _uncertain, _open, _fresh;
    private DateTimeOffset? _dueAt;

    public ChunkPass(ExternalClaim claim, IReadOnlyList<ChunkPerson> people, bool resends, ExternalSettings settings, TimeProvider clock, bool isProbe = false)
    {
        (_claim, _settings, _resends, _isProbe, _clock, _results) = (claim, settings, resends, isProbe, clock, new byte[people.Count]);
        (_delivered, _failed, _skipped, _uncertain) = (claim.Delivered, claim.Failed, claim.Skipped, claim.Uncertain);
        Targets = [.. people.Select((person, place) => new ChunkTarget(place, person)).Where(IsTarget)];
        // Without results its worker died in its first window: there whoever is open may have been called.
        var lost = claim.Results is null ? Targets : people.Select((person, place) => new ChunkTarget(place, person)).Where(t => claim.Results[t.Place] == Open);
        Lost = [.. lost.Where(t => t.Place < claim.Intent)];
        _open = Targets.Count;
    }

    /// <summary>Those to be sent to, by place.</summary>
    public IReadOnlyList<ChunkTarget> Targets { get; }

    /// <summary>Those whom a worker that died may have sent to.</summary>
    public IReadOnlyList<ChunkTarget> Lost { get; }

    /// <summary>The order in which a probe tries them: those tried least first, so that it does not meet the same message again and again.</summary>
    public IReadOnlyList<ChunkTarget> LeastTried => [.. Targets.OrderBy(t => t.Person.Noted.Attempts).ThenBy(_ => Random.Shared.Next())];

    /// <summary>Only this one is sent to: should the process die, none of those before was.</summary>
    public void LeaveOthers(ChunkTarget target)
    {
        lock (_lock)
        {
            foreach (var other in Targets) if (other.Place != target.Place && _results[other.Place] == Open) _results[other.Place] = Later;
        }
    }

    /// <summary>Everybody who was to be sent to in this pass has a result.</summary>
    public bool IsThrough
    {
        get
        {
            lock (_lock) return _open == 0;
        }
    }

    /// <summary>Results that are not written yet.</summary>
    public int Fresh
    {
        get
        {
            lock (_lock) return _fresh;
        }
    }

    /// <summary>Whose messages were taken in this turn.</summary>
    public IReadOnlyCollection<string> Served
    {
        get
        {
            lock (_lock) return [.. _served];
        }
    }

    /// <summary>Notes what came of a call.</summary>
    /// <param name="people">To whom it went.</param>
    /// <param name="result">What came of it.</param>
    /// <returns>How many results are not written yet.</returns>
    public int Take(IReadOnlyList<ChunkTarget> people, SendResult result)
    {
        lock (_lock)
        {
            foreach (var target in people) Take(target, result);
            return _fresh;
        }
    }

    private void Take(ChunkTarget target, SendResult result)
    {
        // Also of a probe: else a message that nobody can take would be tried for ever.
        var counts = result.IsAttempt;
        var attempts = (short)Math.Min(short.MaxValue, target.Person.Noted.Attempts + (counts ? 1 : 0));
        if (result.Outcome == SendOutcome.Sent)
        {
            _served.Add(target.Person.UserId);
            Set(target, MessageStatus.Delivered, null, null, attempts);
            return;
        }
        var isLast = attempts >= _settings.MaxAttempts && counts;
        var reason = result.Category == FailureCategory.None ? null : JsonNamingPolicy.SnakeCaseLower.ConvertName(result.Category.ToString());
        var unsure = target.WasUncertain || result.Outcome == SendOutcome.Uncertain;
        switch (result.Outcome)
        {
            case SendOutcome.Rejected:
                Set(target, MessageStatus.Failed, reason, result.Detail, attempts);
                break;
            case SendOutcome.Retry when isLast:
                Set(target, unsure ? MessageStatus.Uncertain : MessageStatus.Failed, reason, result.Detail, attempts);
                break;
            case SendOutcome.Uncertain when isLast || !_resends:
                Set(target, MessageStatus.Uncertain, reason, result.Detail, attempts);
                break;
            default:
                Set(target, unsure ? MessageStatus.Uncertain : MessageStatus.Pending, reason, result.Detail, attempts, WaitAfter(result, attempts));
                break;
        }
    }

    /// <summary>Notes somebody who is not to be sent to.</summary>
    public void Skip(ChunkTarget target, string reason, string? detail) =>
        Set(target, target.WasUncertain ? MessageStatus.Uncertain : MessageStatus.Skipped, reason, detail, target.Person.Noted.Attempts);

    /// <summary>Notes those whom a worker that died may have sent to as uncertain, before anything else is done about them.</summary>
    /// <param name="isSetAside">The chunk has cost too many workers: nothing of it is sent again by itself.</param>
    public void NoteLost(bool isSetAside)
    {
        foreach (var target in Lost)
        {
            Set(target, MessageStatus.Uncertain, WorkerDied, null, (short)(target.Person.Noted.Attempts + 1), _resends && !isSetAside ? TimeSpan.Zero : null);
        }
    }

    /// <summary>What is to be written in the middle of the pass.</summary>
    /// <param name="intent">How far calls may be begun once it is written.</param>
    public PassState Now(int intent)
    {
        lock (_lock) return new PassState([.. _results], intent, _delivered, _failed, _skipped, _uncertain, [.. _notes], _fresh, _claim.Base);
    }

    /// <summary>What is to be written at the end of a turn, when no call is under way any more.</summary>
    public (PassState State, PassEnd End) AtEnd(TimeSpan? givenBackFor)
    {
        lock (_lock)
        {
            var isThrough = _open == 0;
            _results.AsSpan().Replace(Later, Open);
            // Once everybody who has no exception was delivered, one number says so. Beside a rest it takes the results to tell who was.
            short? all = isThrough && _claim.Rest is null ? (short)MessageStatus.Delivered : _claim.Base;
            var state = new PassState(all is null ? [.. _results] : null, 0, _delivered, _failed, _skipped, _uncertain, [.. _notes], _fresh, all);
            if (!isThrough) return (state, givenBackFor is { } pause ? new PassEnd(5, pause) : new PassEnd(1));
            if (_dueAt is not { } due) return (state, new PassEnd(4));
            var wait = due - _clock.GetUtcNow();
            return (state, new PassEnd(5, wait > TimeSpan.Zero ? wait : TimeSpan.Zero));
        }
    }

    /// <summary>That was written.</summary>
    public void Saved(PassState state)
    {
        lock (_lock)
        {
            _notes.RemoveRange(0, state.Notes.Count);
            _fresh -= state.Fresh;
        }
    }

    /// <summary>Who is to be sent to, of whom the constructor also sets the result so far.</summary>
    private bool IsTarget(ChunkTarget target)
    {
        var (place, noted) = (target.Place, target.Person.Noted);
        if (noted.Status is null)
        {
            var before = _claim.Results is null ? Open : _claim.Results[place];
            _results[place] = before == Delivered ? Delivered : _claim.Base is not null || _claim.Rest is not null ? AsChunk : Open;
            return _results[place] == Open;
        }
        var waits = noted.DueIn is not null && (noted.IsReopened || target.WasUncertain);
        var isDue = noted.DueIn is null ? noted.IsReopened : waits && (_isProbe || noted.DueIn <= TimeSpan.Zero);
        _results[place] = isDue ? Open : Noted;
        if (waits && !isDue) Await(_clock.GetUtcNow() + noted.DueIn!.Value);
        return isDue;
    }

    private void Set(ChunkTarget target, MessageStatus status, string? reason, string? detail, short attempts, TimeSpan? after = null)
    {
        lock (_lock)
        {
            if (_results[target.Place] == Open) _open--;
            if (target.WasUncertain) _uncertain--;
            if (status == MessageStatus.Delivered) _delivered++;
            else if (status == MessageStatus.Failed) _failed++;
            else if (status == MessageStatus.Skipped) _skipped++;
            else if (status == MessageStatus.Uncertain) _uncertain++;
            _fresh++;
            var isSimple = status == MessageStatus.Delivered && target.Person.Noted.Status is null && attempts <= 1;
            _results[target.Place] = isSimple ? Delivered : Noted;
            if (after is { } wait) Await(_clock.GetUtcNow() + wait);
            if (isSimple) return;
            var stored = status == MessageStatus.Pending ? LedgerException.Retry : (short)status;
            _notes.Add(new PersonNote(target.Person.UserId, stored, reason, detail is { Length: > 500 } ? detail[..500] : detail, attempts, after));
        }
    }

    private void Await(DateTimeOffset at)
    {
        if (_dueAt is null || at < _dueAt) _dueAt = at;
    }

    /// <summary>Somewhat random, so that those who failed together do not come together again.</summary>
    private TimeSpan WaitAfter(SendResult result, int attempts)
    {
        if (result.After is { } asked) return asked < TimeSpan.Zero ? TimeSpan.Zero : asked < _settings.LongestRetry ? asked : _settings.LongestRetry;
        var wait = result.IsAttempt ? _settings.FirstRetry * Math.Pow(2, Math.Clamp(attempts - 1, 0, 30)) : result.Category == FailureCategory.RateLimited ? _settings.FirstRetry : WhileUnavailable;
        wait *= 0.8 + (0.4 * Random.Shared.NextDouble());
        return wait < _settings.LongestRetry ? wait : _settings.LongestRetry;
    }
}
