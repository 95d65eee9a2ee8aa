using System.Diagnostics;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Support;

/// <summary>The service as a process of its own, on a free port of loopback, so that a test can kill it.</summary>
public sealed partial class ServiceProcess : IDisposable
{
    private static readonly ServiceProvider Clients = new ServiceCollection().AddHttpClient().BuildServiceProvider();

    private readonly Process _process;

    private ServiceProcess(Process process, string url)
    {
        _process = process;
        var http = Clients.GetRequiredService<IHttpClientFactory>().CreateClient();
        http.BaseAddress = new Uri(url);
        http.DefaultRequestHeaders.Add("appId", "demo");
        http.DefaultRequestHeaders.Add("apiKey", "demo-key");
        Api = new Api(http);
    }

    public Api Api { get; }

    /// <summary>Starts it and returns when it listens.</summary>
    public static async Task<ServiceProcess> StartAsync(string connectionString, params (string Name, string Value)[] settings)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, "--urls", "http://127.0.0.1:0"]) { RedirectStandardOutput = true };
        start.Environment["ConnectionStrings__Campaigns"] = connectionString;
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        (start.Environment["Bootstrap__AppId"], start.Environment["Bootstrap__ApiKey"]) = ("demo", "demo-key");
        foreach (var (name, value) in settings) start.Environment[name] = value;
        var log = new List<string>();
        var listening = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, e) =>
        {
            if (e.Data is null) listening.TrySetException(new InvalidOperationException("The service ended before it listened: " + string.Join('\n', log)));
            else if (Listening().Match(e.Data) is { Success: true } match) listening.TrySetResult(match.Groups[1].Value);
            lock (log) log.Add(e.Data ?? "");
        };
        process.Start();
        process.BeginOutputReadLine();
        return new ServiceProcess(process, await listening.Task);
    }

    /// <summary>kill -9: no handler, no finally, no dispose runs in it.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, as whoever runs it does to stop it.</summary>
    /// <returns>How long it took to end.</returns>
    public async Task<TimeSpan> StopAsync()
    {
        var start = Stopwatch.GetTimestamp();
        using (var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)])) await kill.WaitForExitAsync();
        await _process.WaitForExitAsync();
        return Stopwatch.GetElapsedTime(start);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    [GeneratedRegex("Now listening on: [^h]*(http://127\\.0\\.0\\.1:[0-9]+)")]
    private static partial Regex Listening();
}
