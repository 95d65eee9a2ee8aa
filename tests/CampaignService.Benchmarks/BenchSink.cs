using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace CampaignService.Benchmarks;

/// <summary>A server on loopback, in this process, that takes everything, at once or after a while.</summary>
internal sealed class BenchSink : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly TimeSpan _time;
    private long _taken;
    private volatile ConcurrentQueue<long>? _listening;
    private volatile Awaited? _awaited;

    private BenchSink(WebApplication app, TimeSpan time) => (_app, _time) = (app, time);

    public string Url { get; private set; } = "";

    public long Taken => Interlocked.Read(ref _taken);

    /// <summary>The size of the last body.</summary>
    public int LastBytes { get; private set; } = 300;

    public static async Task<BenchSink> StartAsync(TimeSpan time = default)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        var sink = new BenchSink(app, time);
        app.Run(sink.TakeAsync);
        await app.StartAsync();
        sink.Url = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single() + "/messages";
        return sink;
    }

    /// <summary>Until so many messages have come in all.</summary>
    public Task UntilAsync(long taken, CancellationToken ct)
    {
        var awaited = new Awaited(taken, new(TaskCreationOptions.RunContinuationsAsynchronously));
        _awaited = awaited;
        if (Taken >= taken) awaited.Come.TrySetResult();
        return awaited.Come.Task.WaitAsync(ct);
    }

    /// <summary>When calls come, from now on, for so long.</summary>
    public async Task<IReadOnlyList<TimeSpan>> ListenAsync(TimeSpan time, CancellationToken ct)
    {
        var start = Stopwatch.GetTimestamp();
        var heard = new ConcurrentQueue<long>();
        _listening = heard;
        await Task.Delay(time, ct);
        _listening = null;
        return [.. heard.Select(t => Stopwatch.GetElapsedTime(start, t))];
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task TakeAsync(HttpContext http)
    {
        _listening?.Enqueue(Stopwatch.GetTimestamp());
        var length = (int)(http.Request.ContentLength ?? 0);
        await http.Request.Body.CopyToAsync(Stream.Null);
        if (_time > TimeSpan.Zero) await Task.Delay(_time);
        LastBytes = length;
        if (Interlocked.Increment(ref _taken) >= _awaited?.Taken) _awaited?.Come.TrySetResult();
    }

    private sealed record Awaited(long Taken, TaskCompletionSource Come);
}
