using System.Collections.Concurrent;
using CampaignService.Channels;
using CampaignService.Feed;

namespace CampaignService.Delivery.External;

/// <summary>One channel as this process sends by it: what it may do at once, how fast, and whether its provider takes anything at the moment.</summary>
internal sealed class ChannelLine(ChannelRoute route, IChannel channel, RateSlots slots, ExternalSettings settings, TimeProvider clock) : IDisposable
{
    /// <summary>
    /// So many failures one after the other, with nothing taken in between, and the provider is taken to be down; fewer when they last. Those that may be
    /// the message's fault count once for each person: one message that nobody can take says nothing of the others.
    /// </summary>
    private const int Failures = 20, LastingFailures = 3;

    /// <summary>So many people one after the other whom the provider says to be gone, and it is its own address that is.</summary>
    private const int MostGone = 20;

    private static readonly TimeSpan Lasting = TimeSpan.FromSeconds(3), UnlessTold = TimeSpan.FromSeconds(1);

    /// <summary>Messages in hand at the least, so that there always is a next one: with a single chunk's worth a fast provider waits for the next claim and its people. More than two chunks' made it no faster.</summary>
    private const int InHand = 2 * ChunkPlanner.ExternalChunkSize;

    private readonly Lock _lock = new();
    private ChannelRoute _route = route;
    private DateTimeOffset _heldUntil, _goneSince;
    private readonly HashSet<string> _failing = new(StringComparer.Ordinal), _gone = new(StringComparer.Ordinal);
    private long _firstFailure;
    private int _failures;
    private uint _claims;
    private volatile bool _isBroken;
    private volatile SendResult? _brokenBy;

    /// <summary>Changed when the channel is.</summary>
    public ChannelRoute Route
    {
        get => Volatile.Read(ref _route);
        set
        {
            Volatile.Write(ref _route, value);
            Permits.Limit = value.Settings.MaxConcurrency;
            Slots.PerSecond = value.Settings.RatePerSecond;
        }
    }

    public IChannel Channel => channel;

    /// <summary>Of the channel's row, as last read.</summary>
    public string Version { get; set; } = "";

    public Permits Permits { get; } = new(route.Settings.MaxConcurrency);

    public RateSlots Slots => slots;

    /// <summary>The turns at chunks that are under way.</summary>
    public ConcurrentDictionary<ChunkRun, Task> Runs { get; } = new();

    /// <summary>Nothing is sent, but probes: the provider is down, as this process found or the database says.</summary>
    public bool IsBroken => _isBroken;

    /// <summary>What the provider's failing came to; set until it is written to the database.</summary>
    public SendResult? BrokenBy => _brokenBy;

    /// <summary>Since when everybody is gone, as it says, where that is what its failing came to.</summary>
    public DateTimeOffset? GoneSince
    {
        get
        {
            lock (_lock) return _gone.Count >= MostGone ? _goneSince : null;
        }
    }

    /// <summary>How long the provider asked to be left alone, from now on.</summary>
    public TimeSpan Held
    {
        get
        {
            lock (_lock) return _heldUntil == default ? TimeSpan.Zero : _heldUntil - clock.GetUtcNow();
        }
    }

    /// <summary>There are fewer messages in hand than there should be: somebody should look for more.</summary>
    public bool IsShort => Runs.Keys.Sum(r => r.Unstarted) < Enough;

    private double Enough => Math.Min(Math.Max(Route.Settings.MaxConcurrency, InHand), Route.Settings.RatePerSecond ?? double.MaxValue);

    /// <summary>The lanes of which this process should take a chunk: direct before bulk, but for every fourth; and of direct ones also when it has enough of bulk.</summary>
    /// <param name="not">Batches of which it has enough.</param>
    public short[] Wants(out long[] not)
    {
        var open = Runs.Keys.GroupBy(r => r.Batch).Select(g => (Batch: g.Key, Unstarted: g.Sum(r => r.Unstarted))).ToArray();
        // One batch under a limit of its own must not fill all hands while others could go on.
        var slow = open.Where(b => b.Batch.Slots.PerSecond is { } rate && b.Unstarted >= Math.Min(rate, InHand)).ToArray();
        not = [.. slow.Select(b => b.Batch.Id)];
        if (IsBroken || Held > TimeSpan.Zero) return [];
        var (enough, direct) = (Enough, Runs.Keys.Where(r => r.Claim.IsDirect).Sum(r => r.Unstarted));
        if (open.Except(slow).Sum(b => b.Unstarted) >= enough) return direct < enough ? [Lanes.ExternalDirect] : [];
        return ++_claims % 4 == 0 ? [Lanes.ExternalBulk, Lanes.ExternalDirect] : [Lanes.ExternalDirect, Lanes.ExternalBulk];
    }

    /// <summary>Learns from what came of a call.</summary>
    /// <param name="result">As the provider's answer was understood; what it comes to after those before is set instead.</param>
    /// <param name="messages">What it took.</param>
    /// <returns>Whether the provider has turned out to be down.</returns>
    public bool Heard(ref SendResult result, IReadOnlyList<OutgoingMessage> messages)
    {
        lock (_lock)
        {
            if (result.Category == FailureCategory.AddressGone)
            {
                if (_gone.Count == 0) _goneSince = clock.GetUtcNow();
                if (_gone.Count < MostGone) _gone.UnionWith(messages.Select(m => m.UserId));
                if (_gone.Count >= MostGone) result = SendResult.Retry(FailureCategory.Unavailable, $"{result.Detail}, for one person after the other");
            }
            else if (result.Outcome is SendOutcome.Sent or SendOutcome.Rejected) _gone.Clear();
            if (result.Outcome is SendOutcome.Sent or SendOutcome.Rejected)
            {
                Forget();
                return false;
            }
            if (result.Category == FailureCategory.RateLimited)
            {
                var wait = result.After ?? UnlessTold;
                var until = clock.GetUtcNow() + (wait < settings.LongestRetry ? wait : settings.LongestRetry);
                if (until > _heldUntil) _heldUntil = until;
                return false;
            }
            if (_isBroken) return false;
            if (!result.IsAttempt || !_failing.Overlaps(messages.Select(m => m.UserId)))
            {
                if (_failures++ == 0) _firstFailure = clock.GetTimestamp();
            }
            if (result.IsAttempt) _failing.UnionWith(messages.Select(m => m.UserId));
            if (_failures < Failures && (_failures < LastingFailures || clock.GetElapsedTime(_firstFailure) < Lasting)) return false;
            (_brokenBy, _isBroken) = (result, true);
            return true;
        }
    }

    /// <summary>Takes over what the database says of the provider.</summary>
    public void Learn(bool isBroken)
    {
        lock (_lock)
        {
            if (_brokenBy is not null) return;
            if (_isBroken && !isBroken)
            {
                Forget();
                // Whom it called gone before was another matter.
                _gone.Clear();
            }
            _isBroken = isBroken;
        }
    }

    private void Forget()
    {
        _failures = 0;
        _failing.Clear();
    }

    /// <summary>That it is down stands in the database now.</summary>
    public void Told() => _brokenBy = null;

    public void Dispose() => slots.Dispose();
}

/// <summary>One batch as this process sends of it.</summary>
/// <param name="id">The batch.</param>
/// <param name="content">What it says.</param>
/// <param name="templateSlug">The slug of its template.</param>
/// <param name="slots">Its own limit.</param>
internal sealed class BatchGate(long id, FeedSource content, string templateSlug, RateSlots slots) : IDisposable
{
    private volatile BatchState _state = BatchState.Sending;
    private volatile bool _hasClosed;
    private int _inHand;

    public long Id => id;

    public FeedSource Content => content;

    public RateSlots Slots => slots;

    /// <summary>As last read; the database says it with everything that is written, and twice a second.</summary>
    public BatchState State => _state;

    public void Learn(BatchState state, double? ratePerSecond) => (_state, Slots.PerSecond) = (state, ratePerSecond);

    /// <summary>One of its chunks is taken in hand.</summary>
    public void Take() => Interlocked.Increment(ref _inHand);

    /// <summary>One of its chunks is put down, and what became of it is written.</summary>
    /// <returns>Whether it may have ended with that: some were closed, and this was the last in hand. Whoever is last comes after all the others' writes.</returns>
    public bool Put(bool isClosed)
    {
        if (isClosed) _hasClosed = true;
        return Interlocked.Decrement(ref _inHand) == 0 && _hasClosed;
    }

    public MessageSource SourceOn(string channelId) => new(content.NotificationId, content.CampaignId, templateSlug, content.TemplateVersion, channelId);

    public void Dispose() => slots.Dispose();
}
