using System.Threading.Channels;
using CampaignService.Data;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// Writes direct notifications to few, many requests in one commit: whoever comes while one is being made goes with the next. A request is
/// answered after its commit, and fails alone: what the database refuses is written again one by one. Ids are made before the
/// statement, so that a commit whose outcome is unknown is repeated without writing anything twice.
/// </summary>
public sealed class NotificationWriter(NotificationStore store, DatabaseHealth health, ILogger<NotificationWriter> log) : IAsyncDisposable
{
    /// <summary>More in one commit wait longer for each other than a commit costs.</summary>
    private const int MostInOne = 200;

    /// <summary>In bytes of values, about: nobody is to wait for another's megabytes. What is larger alone goes alone.</summary>
    private const int MostBytesInOne = 4 << 20;

    /// <summary>They take turns: while one writes, requests gather for the other. That one begins when the first is through, or when this is taking long.</summary>
    public const int Flushers = 2;

    /// <summary>Far longer than a commit takes that waits for nobody: a lock, say, that one request is waiting for, is not to hold up all.</summary>
    private static readonly TimeSpan LongTurn = TimeSpan.FromMilliseconds(20);

    private readonly Channel<PendingNotification> _queue = Channel.CreateBounded<PendingNotification>(10_000);
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Lock _starting = new();
    private Task[]? _flushers;

    /// <returns>The answer to give: its own, or that of the first request with its key.</returns>
    public async Task<StoredNotification> WriteAsync(PendingNotification notification, CancellationToken ct)
    {
        if (_flushers is null) Start();
        await _queue.Writer.WriteAsync(notification, ct);
        // Not to be given up from here on: it may be committed already.
        return await notification.Done;
    }

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await Task.WhenAll(_flushers ?? []);
        _turn.Dispose();
    }

    private void Start()
    {
        lock (_starting) _flushers ??= [.. Enumerable.Range(0, Flushers).Select(_ => Task.Run(FlushAllAsync))];
    }

    private async Task FlushAllAsync()
    {
        var ids = new NotificationIds();
        // The first of the next: its key stands in this one already, or it is too large to go with it.
        PendingNotification? carried = null;
        while (carried is not null || await _queue.Reader.WaitToReadAsync())
        {
            var isTurn = await _turn.WaitAsync(LongTurn);
            List<PendingNotification> batch;
            try
            {
                batch = Gather(ref carried);
                if (batch.Count > 0) await FlushAsync(batch, ids, isRetry: false);
            }
            finally
            {
                if (isTurn) _turn.Release();
            }
            foreach (var one in batch) one.Tell();
        }
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
            // One of them may be what ends the connection.
            foreach (var one in batch) await FlushAsync([one], ids, isRetry: true);
        }
        catch (Exception e)
        {
            foreach (var one in batch) one.Settle(e);
        }
    }
}
