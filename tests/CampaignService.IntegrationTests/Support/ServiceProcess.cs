using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Support;

/// <summary>The service as a process of its own, on a free port of loopback, so that a test can kill it.</summary>
public sealed partial class ServiceProcess : IDisposable
{
    private static readonly ServiceProvider Clients = new ServiceCollection().AddHttpClient().BuildServiceProvider();

    private readonly Process _process;
    private readonly List<string> _log = [];
    private readonly TaskCompletionSource<Api> _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Api? _api;

    private ServiceProcess(Process process) => _process = process;

    public Api Api => _api ?? throw new InvalidOperationException("The service does not listen yet.");

    /// <summary>Ends when it listens; fails when it ended before.</summary>
    public Task<Api> Listening => _listening.Task;

    /// <summary>Whether <see cref="Kill"/> ended it.</summary>
    public bool WasKilled { get; private set; }

    /// <summary>Set when it has ended.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>What it wrote so far.</summary>
    public string[] Log
    {
        get
        {
            lock (_log) return [.. _log];
        }
    }

    /// <summary>Starts it and returns when it listens.</summary>
    public static async Task<ServiceProcess> StartAsync(string connectionString, params (string Name, string Value)[] settings)
    {
        var service = Start(connectionString, settings);
        await service.Listening;
        return service;
    }

    /// <summary>Starts it and returns at once.</summary>
    public static ServiceProcess Start(string connectionString, params (string Name, string Value)[] settings)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, "--urls", "http://127.0.0.1:0"]) { RedirectStandardOutput = true };
        start.Environment["ConnectionStrings__Campaigns"] = connectionString;
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        (start.Environment["Bootstrap__AppId"], start.Environment["Bootstrap__ApiKey"]) = ("demo", "demo-key");
        foreach (var (name, value) in settings) start.Environment[name] = value;
        var service = new ServiceProcess(new Process { StartInfo = start });
        service._process.OutputDataReceived += (_, e) => service.Read(e.Data);
        service._process.Start();
        service._process.BeginOutputReadLine();
        return service;
    }

    /// <summary>kill -9: no handler, no finally, no dispose runs in it.</summary>
    public void Kill()
    {
        WasKilled = true;
        _process.Kill();
    }

    /// <summary>The same, returning when it is gone.</summary>
    public Task KillAsync()
    {
        Kill();
        return WaitForExitAsync();
    }

    /// <summary>Another signal, by its name: STOP freezes it, CONT lets it go on.</summary>
    public async Task SignalAsync(string name)
    {
        using var kill = Process.Start("kill", [$"-{name}", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    /// <summary>Returns when it has ended and all that it wrote is in <see cref="Log"/>.</summary>
    public Task WaitForExitAsync(CancellationToken ct = default) => _process.WaitForExitAsync(ct);

    /// <summary>SIGTERM, as whoever runs it does to stop it.</summary>
    /// <returns>How long it took to end.</returns>
    public async Task<TimeSpan> StopAsync()
    {
        var start = Stopwatch.GetTimestamp();
        await SignalAsync("TERM");
        await WaitForExitAsync();
        return Stopwatch.GetElapsedTime(start);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    private void Read(string? line)
    {
        lock (_log) _log.Add(line ?? "");
        if (line is null)
        {
            if (_listening.TrySetException(new InvalidOperationException("The service ended before it listened: " + string.Join('\n', Log)))) _ = _listening.Task.Exception;
        }
        else if (_api is null && ListeningOn().Match(line) is { Success: true } match)
        {
            var http = Clients.GetRequiredService<IHttpClientFactory>().CreateClient();
            http.BaseAddress = new Uri(match.Groups[1].Value);
            http.DefaultRequestHeaders.Add("appId", "demo");
            http.DefaultRequestHeaders.Add("apiKey", "demo-key");
            _api = new Api(http);
            _listening.TrySetResult(_api);
        }
    }

    [GeneratedRegex("Now listening on: [^h]*(http://127\\.0\\.0\\.1:[0-9]+)")]
    private static partial Regex ListeningOn();
}
