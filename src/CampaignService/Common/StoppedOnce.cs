namespace CampaignService.Common;

/// <summary>
/// A background service that has more to end than its loop. A host that is disposed of while it stops tells its services twice at the same
/// time, and disposes of them when either is over: so both wait for the one end.
/// </summary>
public abstract class StoppedOnce : BackgroundService
{
    private readonly Lock _lock = new();
    private Task? _stopped;

    public sealed override Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_lock) return _stopped ??= StopOnceAsync(cancellationToken);
    }

    /// <summary>Ends all there is to end, the loop among it.</summary>
    protected abstract Task StopOnceAsync(CancellationToken ct);

    /// <summary>Tells the loop to end and waits for it.</summary>
    protected Task StopLoopAsync(CancellationToken ct) => base.StopAsync(ct);
}
