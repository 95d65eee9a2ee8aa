using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The place of one process of the service: whenever it dies, the next one is started.</summary>
internal sealed class Slot(string connectionString, string roles, ChaosReport report, params (string Name, string Value)[] settings) : IAsyncDisposable
{
    private readonly CancellationTokenSource _end = new();
    private readonly Lock _change = new();
    private ServiceProcess _current = null!;
    private Task _keeping = Task.CompletedTask;

    public void Open()
    {
        _current = Start();
        _keeping = KeepAsync();
    }

    public void Kill()
    {
        lock (_change) _current.Kill();
        lock (report) report.Kills++;
    }

    /// <summary>Stops the process in the middle of whatever it does, and lets it go on after that time, if it still is there.</summary>
    public async Task FreezeAsync(TimeSpan time, CancellationToken ct)
    {
        var process = _current;
        await process.SignalAsync("STOP");
        lock (report) report.Freezes++;
        await Wait.ForAsync(time, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_change)
        {
            if (process != _current) return;
        }
        await process.SignalAsync("CONT");
    }

    /// <summary>The API of the process that is there now, when it listens.</summary>
    public async Task<Api> ApiAsync(CancellationToken ct)
    {
        while (true)
        {
            var process = _current;
            try
            {
                return await process.Listening.WaitAsync(ct);
            }
            catch (InvalidOperationException)
            {
                // It died young; the next one takes its place.
                await Wait.ForAsync(TimeSpan.FromMilliseconds(20), ct);
            }
        }
    }

    /// <summary>What the present process logged as errors, the last ones.</summary>
    public IEnumerable<string> Errors => _current.Log.Where(l => l.Contains("\"Level\":\"Error\"", StringComparison.Ordinal)).TakeLast(3);

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _keeping;
        _end.Dispose();
    }

    private async Task KeepAsync()
    {
        while (true)
        {
            await _current.WaitForExitAsync(_end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_end.IsCancellationRequested) break;
            Note(_current);
            lock (_change)
            {
                _current.Dispose();
                _current = Start();
            }
        }
        // Not in good order: nothing is to be mended by it after the last look.
        await _current.KillAsync();
        Note(_current);
        _current.Dispose();
    }

    private ServiceProcess Start() => ServiceProcess.Start(connectionString, [.. settings, .. roles.Length == 0 ? [] : new[] { ("Roles", roles) }]);

    private void Note(ServiceProcess process)
    {
        var log = process.Log;
        lock (report)
        {
            report.Logs.Add([$"{roles} {(process.WasKilled ? "killed" : "ended")}", .. log]);
            report.Rescued += log.Count(l => l.Contains("it is ready again (start", StringComparison.Ordinal));
            foreach (var line in log.Where(l => l.Contains("\"Level\":\"Error\"", StringComparison.Ordinal))) report.Errors.Add(Digest(line));
            // A process that finds no database at its start says so and ends; whoever runs it starts it again.
            var mayRefuse = (report.Plan.Faults & (Faults.ServerCrashes | Faults.Cuts)) != 0 && !process.Listening.IsCompletedSuccessfully;
            if (!process.WasKilled && !mayRefuse) report.Violations.Add($"a process ({roles}) ended by itself with {process.ExitCode}: {string.Join('\n', log.TakeLast(5))}");
        }
    }

    /// <summary>The template of the message and the head of the exception: the same fault reads the same.</summary>
    private static string Digest(string line)
    {
        try
        {
            var json = JsonDocument.Parse(line).RootElement;
            var exception = json.TryGetProperty("Exception", out var e) ? e.GetString()! : "";
            var message = json.GetProperty(exception.Length == 0 ? "RenderedMessage" : "MessageTemplate").GetString()!;
            return exception.Length == 0 && message.Contains("trace", StringComparison.Ordinal) ? message.Split(" in ")[0] : $"{message} {string.Join(" | ", exception.Split('\n').Take(3))}";
        }
        catch (JsonException)
        {
            return line; // cut off by the kill
        }
    }
}
