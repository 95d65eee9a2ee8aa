using System.Threading.Channels;
using CampaignService.Users;

namespace CampaignService.Feed;

/// <summary>With what a stream was opened, which may be taken back or expire: the token of a user, else an app's key.</summary>
public sealed record FeedPass(string AppId, string ApiKey, string? Token);

/// <summary>
/// One connection that follows a feed. Beside what is waiting to be written it keeps only the ids of the last minute: an item may become
/// visible after others with larger ids, for it gets its id before its sender commits.
/// </summary>
public sealed class FeedStream(Person person, FeedPass pass, Action abort)
{
    /// <summary>Events that wait for a reader who does not read; then it is disconnected, and comes again with the last id it has.</summary>
    public const int Backlog = 64;

    private readonly Channel<ReadOnlyMemory<byte>> _events =
        Channel.CreateBounded<ReadOnlyMemory<byte>>(new BoundedChannelOptions(Backlog) { SingleReader = true, SingleWriter = true });

    private HashSet<long>? _told;

    public Person Person => person;

    public FeedPass Pass => pass;

    /// <summary>Every item that was visible then has been told, or was there before.</summary>
    public DateTimeOffset LookedAt { get; set; }

    /// <summary>When it was last told anything, by the clock's counter.</summary>
    public long ToldAt { get; set; }

    /// <summary>Items from here on may not have been visible when they were last looked for.</summary>
    public long After => FeedTime.IdAt(LookedAt - FeedStreams.Lookback);

    public bool Knows(long id) => _told?.Contains(id) == true;

    public void Note(long id) => (_told ??= []).Add(id);

    /// <summary>What is too old to come again need not be known.</summary>
    public void Forget()
    {
        if (_told is null) return;
        var after = After;
        _told.RemoveWhere(id => id <= after);
        if (_told.Count == 0) _told = null;
    }

    /// <summary>Never waits: nobody else is held up by one who does not read.</summary>
    public void Tell(ReadOnlyMemory<byte> text, long at)
    {
        ToldAt = at;
        if (_events.Writer.TryWrite(text)) return;
        End();
        abort();
    }

    public void End() => _events.Writer.TryComplete();

    public IAsyncEnumerable<ReadOnlyMemory<byte>> EventsAsync(CancellationToken ct) => _events.Reader.ReadAllAsync(ct);
}
