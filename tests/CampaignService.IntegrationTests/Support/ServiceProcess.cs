using System.Diagnostics;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Support;

/// <summary>The service as a process of its own, on a free port of loopback, so that a test can kill it.</summary>
public sealed partial class ServiceProcess : IDisposable
{
    private static readonly ServiceProvider Clients = new ServiceCollection().AddHttpClient().BuildServiceProvider();

    private readonly Process _process;

    private ServiceProcess(Process process, string url, IReadOnlyList<string> log)
    {
        (_process, Log) = (process, log);
        var http = Clients.GetRequiredService<IHttpClientFactory>().CreateClient();
        http.BaseAddress = new Uri(url);
        http.DefaultRequestHeaders.Add("appId", "demo");
        http.DefaultRequestHeaders.Add("apiKey", "demo-key");
        Api = new Api(http);
    }

    public Api Api { get; }

    /// <summary>What it has written so far.</summary>
    public IReadOnlyList<string> Log { get; }

    /// <summary>Starts it and returns when it listens.</summary>
    public static async Task<ServiceProcess> StartAsync(string connectionString, params (string Name, string Value)[] settings)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, "--urls", "http://127.0.0.1:0"]) { RedirectStandardOutput = true };
        start.Environment["ConnectionStrings__Campaigns"] = connectionString;
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        (start.Environment["Bootstrap__AppId"], start.Environment["Bootstrap__ApiKey"]) = ("demo", "demo-key");
        foreach (var (name, value) in settings) start.Environment[name] = value;
        var process = Process.Start(start)!;
        var log = new List<string>();
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            log.Add(line);
            if (Listening().Match(line) is not { Success: true } match) continue;
            // Its output must be read on, or it would stop at a full pipe.
            process.OutputDataReceived += (_, e) => { if (e.Data is not null) lock (log) log.Add(e.Data); };
            process.BeginOutputReadLine();
            return new ServiceProcess(process, match.Groups[1].Value, log);
        }
        throw new InvalidOperationException("The service ended before it listened: " + string.Join('\n', log));
    }

    /// <summary>kill -9: no handler, no finally, no dispose runs in it.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    [GeneratedRegex("Now listening on: (http://127.0.0.1:[0-9]+)")]
    private static partial Regex Listening();
}
