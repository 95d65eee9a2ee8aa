using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using CampaignService.Users;

namespace CampaignService.Feed;

/// <summary>
/// Tells those who follow their feeds what is new. One loop looks for all of this process at once, woken by <see cref="FeedSignal"/>, and
/// hands each stream its events; a connection has neither a timer nor queries of its own once it has begun.
/// </summary>
/// <remarks>
/// Nothing is left out as long as who writes feed items commits within a minute of taking their ids: each look goes a minute back and
/// leaves out what was told. If it fails, the next one begins where the last good one did.
/// </remarks>
public sealed class FeedStreams(
    FeedReader reader, FeedSignal signal, KnownKeys keys, UserTokens tokens, UserPresence presence, IServiceScopeFactory scopes, TimeProvider clock, ILogger<FeedStreams> log) : BackgroundService
{
    /// <summary>Streams of one process.</summary>
    public const int AtMost = 20_000;

    /// <summary>How far an item's id may be older than its commit. A worker gives up after 30 s.</summary>
    public static readonly TimeSpan Lookback = TimeSpan.FromSeconds(60);

    /// <summary>How long an item of which no signal told can wait.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(2);

    /// <summary>A sign of life when nothing is new, so that proxies keep the connection.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan AtLeastBetween = TimeSpan.FromMilliseconds(50);

    /// <summary>The database looks for a fifth of the time at most, however many follow and however fast signals come.</summary>
    private const int RestForEachLook = 4;

    /// <summary>Items rendered at a time.</summary>
    private const int AtATime = 500;

    private static readonly byte[] Hello = ": connected\n\n"u8.ToArray(), Alive = ": nothing new\n\n"u8.ToArray();

    private readonly ConcurrentDictionary<FeedStream, bool> _open = new();
    private int _count;

    /// <summary>Follows a feed until the caller gives up, the key or token is no longer good or the reader is too slow.</summary>
    /// <param name="stream">Of the caller, used once.</param>
    /// <param name="since">Resends everything from a minute before this item on; null: only what is new.</param>
    /// <param name="ct">Gives up.</param>
    /// <returns>Server-sent events and comments. What becomes visible after the first of them has come is among them.</returns>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> FollowAsync(FeedStream stream, long? since, [EnumeratorCancellation] CancellationToken ct)
    {
        if (Interlocked.Increment(ref _count) > AtMost)
        {
            Interlocked.Decrement(ref _count);
            throw new ApiException(Errors.TooManyStreams(AtMost));
        }
        try
        {
            (stream.LookedAt, stream.ToldAt) = (clock.GetUtcNow(), clock.GetTimestamp());
            if (since is null) await NoteVisibleAsync(stream, ct);
            yield return Hello;
            if (since is { } id)
            {
                await foreach (var missed in MissedAsync(stream, FeedTime.IdAt(FeedTime.Of(id) - Lookback), ct)) yield return missed;
            }
            _open[stream] = true;
            // What came while it was not among the open ones is found at once, and not after a tick.
            signal.WakeHere();
            await foreach (var text in stream.EventsAsync(ct)) yield return text;
        }
        finally
        {
            _open.TryRemove(stream, out _);
            Interlocked.Decrement(ref _count);
        }
    }

    /// <summary>Looks once, for all.</summary>
    /// <returns>How long the database was busy with looking.</returns>
    public async Task<TimeSpan> TurnAsync(CancellationToken ct)
    {
        FeedStream[] streams = [.. await StillAllowedAsync(_open.Keys, ct)];
        if (streams.Length == 0) return TimeSpan.Zero;
        // Before looking: what comes while looking is looked for again.
        var (start, now, upTo) = (clock.GetTimestamp(), clock.GetUtcNow(), FeedTime.IdAt(clock.GetUtcNow().AddHours(1)));
        var found = await reader.NewAsync([.. streams.Select(s => s.Person.AppNo)], [.. streams.Select(s => s.Person.UserId)], [.. streams.Select(s => s.After)], upTo, ct);
        var looked = clock.GetElapsedTime(start);
        var fresh = found.Where(f => !streams[f.Feed].Knows(f.Id)).OrderBy(f => f.Id).Select(f => (Stream: streams[f.Feed], f.Id));
        foreach (var some in fresh.Chunk(AtATime)) await TellAsync(some, ct);
        foreach (var stream in streams)
        {
            stream.LookedAt = now;
            stream.Forget();
            presence.Seen(stream.Person.AppNo, stream.Person.UserId);
            if (clock.GetElapsedTime(stream.ToldAt) > Silence) stream.Tell(Alive, clock.GetTimestamp());
        }
        return looked;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var next = signal.Next;
            try
            {
                var rest = await TurnAsync(stoppingToken) * RestForEachLook;
                await Task.Delay(rest < AtLeastBetween ? AtLeastBetween : rest, clock, stoppingToken);
                await signal.WaitAsync(next, Tick, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Looking for new feed items failed; trying again in {Seconds} s", Tick.TotalSeconds);
                await Task.Delay(Tick, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        foreach (var stream in _open.Keys) stream.End();
    }

    /// <summary>Keys may have been deleted since, and tokens have expired or be of people who were erased. None of this costs a query each time.</summary>
    private async Task<List<FeedStream>> StillAllowedAsync(ICollection<FeedStream> streams, CancellationToken ct)
    {
        var (allowed, answers) = (new List<FeedStream>(streams.Count), new Dictionary<FeedPass, bool>());
        foreach (var stream in streams)
        {
            if (!answers.TryGetValue(stream.Pass, out var isGood)) answers[stream.Pass] = isGood = await IsGoodAsync(stream.Pass, ct);
            if (isGood) allowed.Add(stream);
            else stream.End();
        }
        return allowed;
    }

    private async ValueTask<bool> IsGoodAsync(FeedPass pass, CancellationToken ct) =>
        pass.Token is { } token ? await tokens.ReadAsync(token, ct) is not null : await keys.FindAsync(pass.AppId, pass.ApiKey, ct) is not null;

    private async Task NoteVisibleAsync(FeedStream stream, CancellationToken ct)
    {
        foreach (var (_, id) in await reader.NewAsync([stream.Person.AppNo], [stream.Person.UserId], [stream.After], long.MaxValue, ct)) stream.Note(id);
    }

    private async IAsyncEnumerable<ReadOnlyMemory<byte>> MissedAsync(FeedStream stream, long after, [EnumeratorCancellation] CancellationToken ct)
    {
        for (var more = true; more;)
        {
            var rows = await reader.AfterAsync(stream.Person, after, AtATime, ct);
            foreach (var (row, text) in rows.Zip(await WriteAsync(stream.Person.AppNo, rows, ct)))
            {
                if (row.Id > stream.After) stream.Note(row.Id);
                yield return text;
            }
            more = rows.Count == AtATime;
            if (more) after = rows[^1].Id;
        }
    }

    /// <summary>An item that cannot be shown is passed over: else those of everybody would wait behind it.</summary>
    private async Task TellAsync((FeedStream Stream, long Id)[] fresh, CancellationToken ct)
    {
        try
        {
            await TellAllAsync(fresh, ct);
        }
        catch (Exception e) when (e is not OperationCanceledException && !DatabaseHealth.IsConnectionLoss(e))
        {
            if (fresh.Length == 1)
            {
                log.LogError(e, "Feed item {Item} could not be told to who follows its feed", fresh[0].Id);
                fresh[0].Stream.Note(fresh[0].Id);
            }
            else
            {
                foreach (var one in fresh) await TellAsync([one], ct);
            }
        }
    }

    private async Task TellAllAsync((FeedStream Stream, long Id)[] fresh, CancellationToken ct)
    {
        var rows = await reader.FindAllAsync([.. fresh.Select(f => f.Stream.Person.AppNo)], [.. fresh.Select(f => f.Stream.Person.UserId)], [.. fresh.Select(f => f.Id)], ct);
        foreach (var app in rows.GroupBy(r => fresh[r.Place].Stream.Person.AppNo))
        {
            foreach (var ((place, row), text) in app.Zip(await WriteAsync(app.Key, [.. app.Select(r => r.Row)], ct)))
            {
                fresh[place].Stream.Tell(text, clock.GetTimestamp());
                fresh[place].Stream.Note(row.Id);
            }
        }
    }

    /// <returns>For each item its event. Its id is where to go on from.</returns>
    private async Task<List<ReadOnlyMemory<byte>>> WriteAsync(int appNo, IReadOnlyList<FeedRow> rows, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var views = await scope.ServiceProvider.GetRequiredService<FeedViews>().OfAsync(appNo, rows, ct);
        return [.. views.Select(view => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes($"id: {view.Id}\nevent: item\ndata: {JsonSerializer.Serialize(view, Json.Options)}\n\n"))];
    }
}
