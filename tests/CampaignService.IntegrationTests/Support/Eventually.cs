namespace CampaignService.IntegrationTests.Support;

/// <summary>Waits for what other threads or processes do, and not by the clock: each question is a round trip.</summary>
public static class Eventually
{
    public static async Task HoldsAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while (!await condition()) limit.Token.ThrowIfCancellationRequested();
    }
}
