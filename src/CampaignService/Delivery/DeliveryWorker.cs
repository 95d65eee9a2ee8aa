using System.Collections.Concurrent;
using CampaignService.Common;
using CampaignService.Data;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>The loops of a worker process: those that deliver chunks, and one that looks after what died.</summary>
public sealed class DeliveryWorker(
    ChunkQueue queue, ChunkProcessor processor, BatchFinisher finisher, LeaseRescuer rescuer, DeliveryPulse pulse,
    WorkSignal signal, IOptions<WorkerSettings> settings, TimeProvider clock, ILogger<DeliveryWorker> log)
    : StoppedOnce
{
    /// <summary>What a chunk gets to come to its end when the service is asked to stop; the host waits 10 s.</summary>
    internal static readonly TimeSpan Grace = TimeSpan.FromSeconds(7);

    /// <summary>How long work of which no notice came can wait for an idle worker, and how soon a failed turn is tried again.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private static readonly Task Never = new TaskCompletionSource().Task;

    private readonly SingleFile _line = new(settings.Value.ActualLoops);
    private readonly ConcurrentQueue<ChunkClaim> _dropped = new();
    private volatile bool _lost;
    private volatile int _lastApp = -1;

    public override void Dispose()
    {
        _line.Dispose();
        base.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(
    [
        .. Enumerable.Range(0, settings.Value.ActualLoops).Select(_ => LoopAsync(DeliverAllAsync, signal, stoppingToken)),
        LoopAsync(SweepAsync, wake: null, stoppingToken),
    ]);

    protected override async Task StopOnceAsync(CancellationToken ct)
    {
        await StopLoopAsync(ct);
        await GiveBackDroppedAsync(ct);
    }

    /// <summary>Delivers chunk after chunk until there is none left.</summary>
    public async Task DeliverAllAsync(CancellationToken stop)
    {
        await pulse.BeatAsync(stop);
        await GiveBackDroppedAsync(stop);
        await _line.EnterAsync(stop);
        try
        {
            // From where this process left off: one that begins anew each time would serve the first app first each time.
            var chunk = await queue.ClaimAsync(_lastApp, stop);
            while (chunk is not null) chunk = await DeliverAsync(chunk, stop);
        }
        finally
        {
            _line.Leave();
        }
    }

    /// <summary>One turn of looking after chunks and batches whose worker died.</summary>
    public async Task SweepAsync(CancellationToken stop)
    {
        await pulse.BeatAsync(stop);
        await rescuer.RescueAsync(stop);
        await finisher.SweepAsync(stop);
    }

    /// <returns>The next chunk, leased to this loop.</returns>
    private async Task<ChunkClaim?> DeliverAsync(ChunkClaim chunk, CancellationToken stop)
    {
        if (stop.IsCancellationRequested || _line.MustLeave)
        {
            await queue.GiveBackAsync(chunk, CancellationToken.None);
            return null;
        }
        if (!chunk.IsSuspect) return await ProcessAsync(chunk, claimNext: true, stop);
        try
        {
            if (!await _line.TryAloneAsync(() => ProcessAloneAsync(chunk, stop), stop)) await queue.GiveBackAsync(chunk, CancellationToken.None);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await queue.GiveBackAsync(chunk, CancellationToken.None);
        }
        // The others left because of it, and nothing else would wake them.
        signal.WakeHere();
        return null;
    }

    /// <summary>Workers died of it, or beside it: if this one dies too, it was this chunk.</summary>
    private async Task ProcessAloneAsync(ChunkClaim chunk, CancellationToken stop)
    {
        if (await queue.BeginAloneAsync(chunk, stop)) await ProcessAsync(chunk, claimNext: false, stop);
    }

    private async Task<ChunkClaim?> ProcessAsync(ChunkClaim chunk, bool claimNext, CancellationToken stop)
    {
        // A chunk that was begun comes to its end also when the service is asked to stop: it takes some ten milliseconds.
        using var patience = new CancellationTokenSource();
        await using var asked = stop.Register(() => patience.CancelAfter(Grace));
        try
        {
            var result = await processor.ProcessAsync(chunk, claimNext && !stop.IsCancellationRequested, patience.Token);
            (_lost, _lastApp) = (false, chunk.AppNo);
            if (!result.Closed) return claimNext ? await queue.ClaimAsync(chunk.AppNo, stop) : null;
            pulse.Progressed(chunk.BatchId);
            if (result.Next?.BatchId != chunk.BatchId) await FinishAsync(chunk.BatchId);
            return result.Next;
        }
        catch (Exception e) when (IsNoFaultOfTheChunk(e))
        {
            // If the outcome of the commit is unknown and it is closed, there is nothing to give back.
            if (stop.IsCancellationRequested) await queue.GiveBackAsync(chunk, CancellationToken.None);
            else _dropped.Enqueue(chunk);
            throw;
        }
    }

    /// <summary>Fails without harm, for the next chunk is leased already: the sweep does what is left undone.</summary>
    private async Task FinishAsync(long batchId)
    {
        try
        {
            await finisher.TryFinishAsync(batchId, CancellationToken.None);
        }
        catch (Exception e)
        {
            log.LogWarning(e, "Ending batch {Batch} failed; the sweep tries again", batchId);
        }
    }

    private async Task GiveBackDroppedAsync(CancellationToken ct)
    {
        while (_dropped.TryDequeue(out var dropped))
        {
            try
            {
                await queue.GiveBackAsync(dropped, ct);
            }
            catch
            {
                _dropped.Enqueue(dropped);
                throw;
            }
        }
    }

    /// <summary>What makes a chunk fail each time, such as its size, must count: it would be given back and fail for ever.</summary>
    private static bool IsNoFaultOfTheChunk(Exception e) => e is OperationCanceledException || DatabaseHealth.IsConnectionLoss(e)
        || e is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure };

    private async Task LoopAsync(Func<CancellationToken, Task> turn, WorkSignal? wake, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var next = wake?.Next ?? Never;
            try
            {
                await turn(stop);
                _lost = false;
                await signal.WaitAsync(next, Tick, stop);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                Report(e);
                await Task.Delay(Tick, clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>A fault is an error each time; that the database is away is said once, not each second by each loop.</summary>
    private void Report(Exception e)
    {
        if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "A turn of the delivery worker failed; going on in {Seconds} s. What it had begun is free again when its lease ends", Tick.TotalSeconds);
        else if (!_lost) log.LogWarning("The database cannot be reached; delivery goes on when it is back: {Message}", e.Message);
        if (!DatabaseHealth.IsConnectionLoss(e)) return;
        _lost = true;
        // What comes back may be another database than the one that went.
        pulse.Forget();
    }
}
