using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace CampaignService.Benchmarks;

/// <summary>
/// The service as users run it: a process of its own from the Release build. A shell stands between, reading a pipe whose other end only
/// we hold; when the pipe ends, which it does however we end, the shell ends the service.
/// </summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    public const string AppId = "bench", ApiKey = "bench-key";

    // Ctrl-C reaches the whole group, but it is for us to say when the service ends.
    private const string Guard = """
        trap '' INT HUP PIPE
        log=$1; shift
        "$@" </dev/null >"$log" 2>&1 &
        service=$!
        echo "$service"
        read -r _
        kill -TERM "$service" 2>/dev/null
        for _ in $(seq 300); do kill -0 "$service" 2>/dev/null || exit 0; sleep 0.1; done
        kill -KILL "$service"
        """;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process _guard;
    private readonly string _log;

    private ServiceProcess(Process guard, string log, Uri address) => (_guard, _log, Address) = (guard, log, address);

    public Uri Address { get; }

    public int Id { get; private set; }

    /// <summary>From the start of the process to the first 200 of /health/ready.</summary>
    public TimeSpan ReadyAfter { get; private set; }

    /// <param name="folder">Where its log goes.</param>
    /// <param name="settings">Beside the usual ones, by environment name.</param>
    public static async Task<ServiceProcess> StartAsync(BenchFolder folder, Dictionary<string, string> settings, CancellationToken ct)
    {
        var program = Path.Combine(Bench.Root, "src/CampaignService/bin/Release/net10.0/CampaignService.dll");
        var (log, address) = (folder.Sub($"service-{Guid.NewGuid():N}.log"), new Uri($"http://127.0.0.1:{FreePort()}"));
        var start = new ProcessStartInfo("/bin/sh", ["-c", Guard, "campaigns-bench-guard", log, "dotnet", program])
        {
            WorkingDirectory = Path.GetDirectoryName(program),
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        // Settings of whoever runs this must not change what is measured.
        foreach (var name in start.Environment.Keys.Where(k => k.Contains("__", StringComparison.Ordinal) || k is "Roles" || k.StartsWith("ASPNETCORE_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(name);
        }
        settings = new(settings)
        {
            ["ASPNETCORE_ENVIRONMENT"] = "Production",
            ["ASPNETCORE_URLS"] = address.OriginalString,
            ["Bootstrap__AppId"] = AppId,
            ["Bootstrap__ApiKey"] = ApiKey,
        };
        foreach (var (name, value) in settings) start.Environment[name] = value;

        var clock = Stopwatch.StartNew();
        var service = new ServiceProcess(Process.Start(start)!, log, address);
        try
        {
            service.Id = int.Parse((await service._guard.StandardOutput.ReadLineAsync(ct))!, CultureInfo.InvariantCulture);
            await service.WaitUntilReadyAsync(clock, ct);
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    /// <summary>Works until the runtime has compiled the code of a busy service: it does so anew for half a minute of its work.</summary>
    public async Task WarmUpAsync(Func<Task> work)
    {
        for (int round = 0, quiet = 0; round < 20 && quiet < 2; round++)
        {
            var (before, clock) = (ProcessorTimes.CompilersOf(Id), Stopwatch.StartNew());
            await work();
            var compiling = ProcessorTimes.CompilersOf(Id).Sum(c => c.Value - before.GetValueOrDefault(c.Key));
            quiet = compiling < 0.02 * clock.Elapsed.TotalSeconds ? quiet + 1 : 0;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _guard.StandardInput.Close();
        await _guard.WaitForExitAsync();
        _guard.Dispose();
    }

    private async Task WaitUntilReadyAsync(Stopwatch clock, CancellationToken ct)
    {
        using var http = new HttpMessageInvoker(new SocketsHttpHandler());
        for (; ; await Task.Delay(5, ct))
        {
            if (await IsReadyAsync(http, ct)) break;
            if (clock.Elapsed > Patience || !Directory.Exists($"/proc/{Id}"))
            {
                throw new BenchException("The service did not become ready. Its log ends: " + string.Join('\n', File.ReadLines(_log).TakeLast(20)));
            }
        }
        ReadyAfter = clock.Elapsed;
    }

    private async Task<bool> IsReadyAsync(HttpMessageInvoker http, CancellationToken ct)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(Address, "/health/ready"));
            using var answer = await http.SendAsync(request, ct);
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
