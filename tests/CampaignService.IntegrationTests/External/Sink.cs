using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace CampaignService.IntegrationTests.External;

/// <summary>What a channel of the type webhook sends to: a real server on loopback that keeps what it took, and answers as a test wants.</summary>
public sealed class Sink : IAsyncDisposable
{
    private readonly WebApplication _app;

    private Sink(WebApplication app) => _app = app;

    public string Url { get; private set; } = "";

    public ConcurrentQueue<SinkCall> Calls { get; } = new();

    /// <summary>Answers a call; 200 to everything at first.</summary>
    public Func<SinkCall, HttpContext, Task> Answer { get; set; } = (_, _) => Task.CompletedTask;

    /// <summary>Of everybody who got a message that was answered with 200, how often.</summary>
    public Dictionary<string, int> Taken => Calls.Where(c => c.Status == 200).SelectMany(c => c.Users).GroupBy(u => u).ToDictionary(g => g.Key, g => g.Count());

    public static async Task<Sink> StartAsync(int port = 0, Action<ListenOptions>? listen = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port, listen ?? (_ => { })));
        var app = builder.Build();
        var sink = new Sink(app);
        app.Run(sink.TakeAsync);
        await app.StartAsync();
        sink.Url = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single() + "/messages";
        return sink;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    /// <summary>Answers all calls with this status.</summary>
    public void AnswerWith(int status) => Answer = (_, http) =>
    {
        http.Response.StatusCode = status;
        return Task.CompletedTask;
    };

    private async Task TakeAsync(HttpContext http)
    {
        using var body = await JsonDocument.ParseAsync(http.Request.Body);
        var call = new SinkCall(http.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase), body.RootElement.Clone());
        Calls.Enqueue(call);
        await Answer(call, http);
        if (call.Status == 0) call.Status = http.Response.StatusCode;
    }
}

/// <summary>One call that the sink got.</summary>
public sealed record SinkCall(Dictionary<string, string> Headers, JsonElement Body)
{
    /// <summary>What it was answered with; 0 while it is not, -1 when it was broken off.</summary>
    public int Status { get; set; }

    /// <summary>Breaks the connection off instead of answering.</summary>
    public void Break(HttpContext http)
    {
        Status = -1;
        http.Abort();
    }

    public string Key => Headers["Idempotency-Key"];

    public IEnumerable<JsonElement> Messages => Body.ValueKind == JsonValueKind.Array ? Body.EnumerateArray() : [Body];

    public IEnumerable<string> Users => Messages.Select(m => m.GetProperty("user").GetProperty("id").GetString()!);
}
