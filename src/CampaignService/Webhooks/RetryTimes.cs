namespace CampaignService.Webhooks;

/// <summary>When a failed delivery is tried again: soon at first, then ever more rarely, for about a day and a half.</summary>
public static class RetryTimes
{
    /// <summary>Each is taken a fifth longer or shorter, so that what failed together does not come back together.</summary>
    private const double Jitter = 0.2;

    /// <summary>Longer than this nobody may ask to be left alone.</summary>
    private static readonly TimeSpan MaxRetryAfter = TimeSpan.FromHours(6);

    private static readonly TimeSpan[] Delays =
    [
        TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(2), TimeSpan.FromMinutes(10), TimeSpan.FromHours(1), TimeSpan.FromHours(6), TimeSpan.FromHours(24),
    ];

    /// <summary>The first and the retries.</summary>
    public static int MaxAttempts => Delays.Length + 1;

    /// <param name="attempts">How many have failed, 1 or more.</param>
    /// <param name="retryAfter">What the receiver asks for.</param>
    /// <param name="chance">From 0 to 1.</param>
    /// <returns>How long to wait; null when that was the last.</returns>
    public static TimeSpan? After(int attempts, TimeSpan? retryAfter, double chance)
    {
        if (attempts >= MaxAttempts) return null;
        var own = Delays[attempts - 1] * (1 - Jitter + (2 * Jitter * chance));
        var asked = retryAfter is { } time ? time < MaxRetryAfter ? time : MaxRetryAfter : TimeSpan.Zero;
        return asked > own ? asked : own;
    }
}
