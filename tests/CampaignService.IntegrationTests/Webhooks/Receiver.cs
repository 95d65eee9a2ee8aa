using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>A customer's server on loopback that takes events; what it answers is the test's to say, by path.</summary>
public sealed class Receiver : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<string, Func<HttpContext, Task>> _answers = new();
    private readonly ConcurrentQueue<ReceivedEvent> _received = new();

    private Receiver(WebApplication app) => _app = app;

    /// <summary>All that came, in its order.</summary>
    public IReadOnlyList<ReceivedEvent> Received => [.. _received];

    public static async Task<Receiver> StartAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Logging.ClearProviders();
        var receiver = new Receiver(builder.Build());
        receiver._app.Run(receiver.TakeAsync);
        await receiver._app.StartAsync();
        return receiver;
    }

    public string Url(string path = "/") => _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single() + path;

    /// <summary>What it answers on a path from now on; 204 unless told otherwise.</summary>
    public void Answer(string path, Func<HttpContext, Task> answer) => _answers[path] = answer;

    public void Answer(string path, int status) => Answer(path, http =>
    {
        http.Response.StatusCode = status;
        return Task.CompletedTask;
    });

    public IReadOnlyList<ReceivedEvent> On(string path) => [.. _received.Where(r => r.Path == path)];

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task TakeAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        var body = await reader.ReadToEndAsync(http.RequestAborted);
        _received.Enqueue(new ReceivedEvent(http.Request.Path, http.Request.Headers["webhook-id"]!, http.Request.Headers["webhook-timestamp"]!, http.Request.Headers["webhook-signature"]!, body,
            http.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
        if (_answers.TryGetValue(http.Request.Path, out var answer)) await answer(http);
        else http.Response.StatusCode = 204;
    }
}

/// <summary>A POST as it came.</summary>
public sealed record ReceivedEvent(string Path, string Id, string Timestamp, string Signature, string Body, IReadOnlyDictionary<string, string> Headers)
{
    public JsonElement Json => JsonDocument.Parse(Body).RootElement;

    public string Type => Json.GetProperty("type").GetString()!;
}
