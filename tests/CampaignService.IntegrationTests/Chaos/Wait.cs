using System.Net.Sockets;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The one place in which tests wait by the clock: chaos is a matter of moments.</summary>
internal static class Wait
{
    public static Task ForAsync(TimeSpan time, CancellationToken ct) => Task.Delay(time, TimeProvider.System, ct);

    /// <summary>Some time between two bounds, in seconds.</summary>
    public static Task ForAsync(Random random, double from, double to, CancellationToken ct) => ForAsync(TimeSpan.FromSeconds(from + random.NextDouble() * (to - from)), ct);

    /// <summary>Until something that other processes do has happened. A database or a service that is just away is asked again.</summary>
    /// <returns>False when it did not happen in time.</returns>
    public static async Task<bool> UntilAsync(Func<Task<bool>> isSo, TimeSpan atMost, CancellationToken ct = default)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(atMost);
        while (true)
        {
            try
            {
                if (await isSo()) return true;
            }
            catch (Exception e) when (e is NpgsqlException or HttpRequestException or SocketException or IOException)
            {
                // Away; it comes back.
            }
            await ForAsync(TimeSpan.FromMilliseconds(250), patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            ct.ThrowIfCancellationRequested();
            if (patience.IsCancellationRequested) return false;
        }
    }
}
