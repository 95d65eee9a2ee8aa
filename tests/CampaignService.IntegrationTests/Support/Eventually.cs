namespace CampaignService.IntegrationTests.Support;

/// <summary>
/// Waits for what other threads or processes do. Asks at once, for most of it is there or about to be; then at the beat of a timer: whoever asked without a break
/// would take away the processor from those who are to do it.
/// </summary>
public static class Eventually
{
    private const int AtOnce = 10;

    /// <param name="condition">What is waited for.</param>
    /// <param name="patience">How long; a minute, if nothing is said.</param>
    public static async Task HoldsAsync(Func<Task<bool>> condition, TimeSpan? patience = null)
    {
        using var limit = new CancellationTokenSource(patience ?? TimeSpan.FromMinutes(1));
        using var beat = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        for (var asked = 1; !await condition(); asked++)
        {
            limit.Token.ThrowIfCancellationRequested();
            if (asked > AtOnce) await beat.WaitForNextTickAsync(limit.Token);
        }
    }
}
