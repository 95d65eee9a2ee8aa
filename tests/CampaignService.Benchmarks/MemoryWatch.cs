using System.Globalization;

namespace CampaignService.Benchmarks;

/// <summary>Looks at the resident memory of a process every 50 ms, for as long as it is not disposed.</summary>
internal sealed class MemoryWatch : IAsyncDisposable
{
    private readonly CancellationTokenSource _end = new();
    private readonly Task _watching;

    public MemoryWatch(int processId) => _watching = WatchAsync($"/proc/{processId}/status");

    /// <summary>The most that was seen, in MB of 10^6 bytes.</summary>
    public double PeakMegabytes { get; private set; }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
    }

    private async Task WatchAsync(string status)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        do
        {
            var line = (await File.ReadAllLinesAsync(status, _end.Token)).First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
            var kibibytes = long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
            PeakMegabytes = Math.Max(PeakMegabytes, kibibytes * 1024 / 1e6);
        }
        while (await timer.WaitForNextTickAsync(_end.Token));
    }
}
