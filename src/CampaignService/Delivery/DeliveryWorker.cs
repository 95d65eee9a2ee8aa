namespace CampaignService.Delivery;

/// <summary>The loops of a worker process: one for each core that delivers chunks, and one that looks after what died.</summary>
public sealed class DeliveryWorker(
    ChunkQueue queue, ChunkProcessor processor, BatchFinisher finisher, LeaseRescuer rescuer, WorkSignal signal, TimeProvider clock, ILogger<DeliveryWorker> log)
    : BackgroundService
{
    /// <summary>How long work that another process left can wait for an idle worker, and how soon a failed turn is tried again.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(
    [
        .. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => LoopAsync(DeliverAllAsync, stoppingToken)),
        LoopAsync(SweepAsync, stoppingToken),
    ]);

    /// <summary>Delivers chunk after chunk until there is none left.</summary>
    public async Task DeliverAllAsync(CancellationToken stop)
    {
        var chunk = await queue.ClaimAsync(lastApp: -1, stop);
        while (chunk is not null)
        {
            // A chunk that was begun is finished also when the service is asked to stop: it takes some ten milliseconds.
            var next = await processor.ProcessAsync(chunk, claimNext: !stop.IsCancellationRequested, CancellationToken.None);
            if (next?.BatchId != chunk.BatchId) await finisher.TryFinishAsync(chunk.BatchId, CancellationToken.None);
            chunk = next;
        }
    }

    /// <summary>One turn of looking after chunks and batches whose worker died.</summary>
    public async Task SweepAsync(CancellationToken stop)
    {
        await rescuer.RescueAsync(stop);
        await finisher.SweepAsync(stop);
    }

    private async Task LoopAsync(Func<CancellationToken, Task> turn, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var next = signal.Next;
            try
            {
                await turn(stop);
                await signal.WaitAsync(next, Tick, stop);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // Whatever was claimed is free again when its lease ends.
                log.LogError(e, "A turn of the delivery worker failed; going on in {Seconds} s", Tick.TotalSeconds);
                await Task.Delay(Tick, clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
