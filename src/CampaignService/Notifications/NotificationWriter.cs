using System.Threading.Channels;
using CampaignService.Data;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// Writes direct notifications to few, many requests in one commit: whoever comes while one is being made goes with the next. A request is
/// answered after its commit, and fails alone: what the database refuses is written again one by one. Ids are made before the
/// statement, so that a commit whose outcome is unknown is repeated without writing anything twice.
/// </summary>
public sealed class NotificationWriter(NotificationStore store, DatabaseHealth health, TimeProvider clock, ILogger<NotificationWriter> log) : IAsyncDisposable
{
    /// <summary>More in one commit wait longer for each other than a commit costs.</summary>
    private const int MostInOne = 200;

    /// <summary>In bytes of values, about: nobody is to wait for another's megabytes. What is larger alone goes alone.</summary>
    private const int MostBytesInOne = 4 << 20;

    /// <summary>
    /// One writes, and goes on with who has come meanwhile: a commit costs the database more than another row in it. Another begins beside it when as many
    /// wait as it writes, for then the database would stand still while the disk is waited for, or when it takes long.
    /// </summary>
    public const int MostAtOnce = 2;

    /// <summary>For fewer than these none begins beside one of few.</summary>
    private const int FewestBeside = 4;

    /// <summary>Far longer than a write that waits for nobody: a lock, say, that one request is waiting for, is not to hold up all. It takes long after this time or twice as much.</summary>
    private static readonly TimeSpan Long = TimeSpan.FromMilliseconds(20);

    /// <summary>Requests that go on in one thread, one after the other: handing on each by itself costs as much as writing its answer.</summary>
    private const int ToldTogether = 8;

    private readonly Channel<PendingNotification> _queue = Channel.CreateBounded<PendingNotification>(10_000);
    private readonly Lock _starting = new();
    private Task? _flushing;

    /// <summary>One timer for many writes: a thousand a second, each of which wakes a thread, cost more than what they watch over.</summary>
    private Task _tick = Task.CompletedTask;
    private volatile Awaited? _awaited;

    /// <summary>One of the writes that may go on at once.</summary>
    private sealed class Lane
    {
        public int Count { get; set; }

        /// <summary>Nobody waits for it any more.</summary>
        public bool TakesLong { get; set; }

        public Task Write { get; set; } = Task.CompletedTask;
    }

    private sealed record Awaited(int Count, TaskCompletionSource Come);

    /// <returns>The answer to give: its own, or that of the first request with its key.</returns>
    public async Task<StoredNotification> WriteAsync(PendingNotification notification, CancellationToken ct)
    {
        if (_flushing is null) Start();
        await _queue.Writer.WriteAsync(notification, ct);
        if (_awaited is { } awaited && _queue.Reader.Count >= awaited.Count) awaited.Come.TrySetResult();
        // Not to be given up from here on: it may be committed already.
        return await notification.Done;
    }

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await (_flushing ?? Task.CompletedTask);
    }

    private void Start()
    {
        lock (_starting) _flushing ??= Task.Run(FlushAllAsync);
    }

    private async Task FlushAllAsync()
    {
        var (ids, lane, other) = (new NotificationIds(), new Lane(), new Lane());
        // The first of the next: its key stands in this one already, or it is too large to go with it.
        PendingNotification? carried = null;
        while (carried is not null || await _queue.Reader.WaitToReadAsync())
        {
            await Task.WhenAny(lane.Write, other.Write);
            if (!lane.Write.IsCompleted) (lane, other) = (other, lane);
            if (!other.Write.IsCompleted && !other.TakesLong) await WaitForManyAsync(other);
            var batch = Gather(ref carried);
            if (batch.Count == 0) continue;
            (lane.Count, lane.TakesLong, lane.Write) = (batch.Count, false, FlushAsync(batch, ids, isRetry: false));
            (lane, other) = (other, lane);
        }
        // A fault of ours in one is told to those in it; the others went on.
        await Task.WhenAll(lane.Write, other.Write).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Until the write is through, so many wait that another is worth its cost, or it takes too long.</summary>
    private async Task WaitForManyAsync(Lane writing)
    {
        var awaited = new Awaited(Math.Max(writing.Count, FewestBeside), new(TaskCreationOptions.RunContinuationsAsynchronously));
        _awaited = awaited;
        if (_queue.Reader.Count < awaited.Count)
        {
            // It may have begun just before the first of the two ends.
            for (var ticks = 0; ticks < 2; ticks++)
            {
                if (_tick.IsCompleted) _tick = Task.Delay(Long, clock);
                writing.TakesLong = await Task.WhenAny(writing.Write, awaited.Come.Task, _tick) == _tick;
                if (!writing.TakesLong) break;
            }
        }
        _awaited = null;
    }

    private List<PendingNotification> Gather(ref PendingNotification? carried)
    {
        var (batch, keys) = (new List<PendingNotification>(), new HashSet<string>());
        for (var bytes = 0L; batch.Count < MostInOne;)
        {
            var next = carried;
            carried = null;
            if (next is null && !_queue.Reader.TryRead(out next)) break;
            bytes += next.Bytes;
            if ((batch.Count > 0 && bytes > MostBytesInOne) || (next.Request is { } request && !keys.Add($"{request.AppNo}:{request.Key}")))
            {
                carried = next;
                break;
            }
            batch.Add(next);
        }
        return batch;
    }

    private async Task FlushAsync(List<PendingNotification> batch, NotificationIds ids, bool isRetry)
    {
        try
        {
            await store.StoreAsync(batch, ids, isRetry);
        }
        catch (PostgresException e) when (batch.Count > 1 && !DatabaseHealth.IsConnectionLoss(e))
        {
            log.LogWarning(e, "{Count} notifications were refused together; each is tried alone", batch.Count);
            foreach (var one in batch) await FlushAsync([one], ids, isRetry);
        }
        catch (Exception e) when (!isRetry && DatabaseHealth.IsConnectionLoss(e) && !DatabaseHealth.IsPoolExhausted(e))
        {
            // Written or not, nobody knows: with the same ids, what is there already is not written again.
            health.Lost();
            await FlushEachAsync(batch, ids, e);
        }
        catch (Exception e)
        {
            foreach (var one in batch) one.Settle(e);
        }
        finally
        {
            Tell(batch);
        }
    }

    /// <summary>One of them may be what ends the connection. When it is lost twice running it is the database, and nobody is to wait for the attempts of all others.</summary>
    private async Task FlushEachAsync(List<PendingNotification> batch, NotificationIds ids, Exception loss)
    {
        var lost = 0;
        foreach (var one in batch)
        {
            if (lost == 2) one.Settle(loss);
            else await FlushAsync([one], ids, isRetry: true);
            lost = one.Fault is { } fault && DatabaseHealth.IsConnectionLoss(fault) ? Math.Min(lost + 1, 2) : 0;
        }
    }

    /// <summary>Lets their requests go on, in threads of the pool: here the next write goes on.</summary>
    private static void Tell(List<PendingNotification> batch)
    {
        for (var first = 0; first < batch.Count; first += ToldTogether)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static told =>
            {
                for (var i = told.First; i < Math.Min(told.First + ToldTogether, told.Batch.Count); i++) told.Batch[i].Tell();
            }, (Batch: batch, First: first), preferLocal: false);
        }
    }
}
