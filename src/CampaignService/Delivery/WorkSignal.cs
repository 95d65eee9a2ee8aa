namespace CampaignService.Delivery;

/// <summary>Wakes the workers of this process when there is something to do; polling is the fallback and finds what other processes left.</summary>
public sealed class WorkSignal(TimeProvider clock)
{
    private volatile TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Wake() => Interlocked.Exchange(ref _next, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();

    /// <summary>Take this before looking for work, so that a wake-up between looking and waiting is not lost.</summary>
    public Task Next => _next.Task;

    /// <summary>Returns when woken, or after the time given.</summary>
    public async Task WaitAsync(Task next, TimeSpan atMost, CancellationToken ct)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct);
        await Task.WhenAny(next, Task.Delay(atMost, clock, either.Token));
        await either.CancelAsync();
        ct.ThrowIfCancellationRequested();
    }
}
