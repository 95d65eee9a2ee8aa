namespace CampaignService.Common;

/// <summary>
/// Wakes those who wait for something to do: in this process at once, in others by notices. It is a convenience: polling finds what no
/// signal told.
/// </summary>
/// <param name="name">What notices of it are called, a word of SQL.</param>
/// <param name="clock">By which is waited.</param>
public abstract class Signal(string name, TimeProvider clock)
{
    public string Name => name;

    private volatile TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile TaskCompletionSource _nextNotice = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Call it after the commit that made the news.</summary>
    public void Wake()
    {
        WakeHere();
        Interlocked.Exchange(ref _nextNotice, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Wakes this process only: the news came from another.</summary>
    public void WakeHere() => Interlocked.Exchange(ref _next, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();

    /// <summary>Take this before looking, so that a wake-up between looking and waiting is not lost.</summary>
    public Task Next => _next.Task;

    /// <summary>Ends when other processes are to be told.</summary>
    public Task NextNotice => _nextNotice.Task;

    /// <summary>Returns when woken, or after the time given.</summary>
    public async Task WaitAsync(Task next, TimeSpan atMost, CancellationToken ct)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct);
        await Task.WhenAny(next, Task.Delay(atMost, clock, either.Token));
        await either.CancelAsync();
        ct.ThrowIfCancellationRequested();
    }
}
