using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using CampaignService.Common;
using Microsoft.Extensions.Options;

namespace CampaignService.Webhooks;

/// <summary>What came of one call.</summary>
/// <param name="Status">The HTTP status, if there was an answer.</param>
/// <param name="Error">What was wrong; null when it was taken.</param>
/// <param name="Answer">The beginning of the body.</param>
/// <param name="At">When it began.</param>
/// <param name="Took">How long it took.</param>
/// <param name="RetryAfter">What the receiver asks for.</param>
public sealed record CallResult(int? Status, string? Error, string? Answer, DateTimeOffset At, TimeSpan Took, TimeSpan? RetryAfter = null)
{
    /// <summary>False: a fault of ours kept it from being made, and says nothing of the receiver.</summary>
    public bool WasMade { get; private init; } = true;

    /// <summary>No call was made, for a fault of ours.</summary>
    public static CallResult NotMade(string error, DateTimeOffset at) => new(null, error, null, at, TimeSpan.Zero) { WasMade = false };

    public bool Succeeded => Error is null;

    /// <summary>The receiver wants nothing any more.</summary>
    public bool IsGone => Status == (int)HttpStatusCode.Gone;
}

/// <summary>Sends one event to one webhook, once.</summary>
public sealed class WebhookSender(IOptions<WebhookSettings> settings, TimeProvider clock) : IDisposable
{
    /// <summary>For the whole call, from looking up the name to the first bytes of the answer's body.</summary>
    public static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(15);

    /// <summary>Once the status is there nothing depends on the body; of one that trickles in, what has come by then is kept.</summary>
    private static readonly TimeSpan BodyLimit = TimeSpan.FromSeconds(2);

    private const int AnswerBytes = 1024, WordsLength = 500;

    /// <summary>Many webhooks may stand on one server: those that hang there must not use up the connections of the others.</summary>
    private readonly HttpMessageInvoker _http = OutboundHttp.Create(settings.Value.AllowPrivateNetworks, settings.Value.Concurrency, TimeLimit);

    /// <returns>Also when it fails; it throws only when it is given up.</returns>
    public async Task<CallResult> SendAsync(string url, IReadOnlyList<string> secrets, EventView happened, CancellationToken ct)
    {
        var (at, start) = (clock.GetUtcNow(), Stopwatch.GetTimestamp());
        var body = JsonSerializer.SerializeToUtf8Bytes(happened, Json.Options);
        using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("Campaigns-Webhooks", "1"));
        WebhookSecret.SignTo(request.Headers, secrets, happened.Id, at, body);
        using var limit = new CancellationTokenSource(TimeLimit, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, limit.Token);
        try
        {
            using var response = await _http.SendAsync(request, either.Token);
            var answer = await ReadAsync(response.Content, either.Token);
            ct.ThrowIfCancellationRequested();
            return new CallResult((int)response.StatusCode, FaultOf(response), answer, at, Stopwatch.GetElapsedTime(start), OutboundHttp.RetryAfterOf(response, clock.GetUtcNow()));
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return Failed($"No answer within {TimeLimit.TotalSeconds:0} s.");
        }
        catch (Exception e) when (e is HttpRequestException or IOException or SocketException or UriFormatException or NotSupportedException)
        {
            return Failed(OutboundHttp.WordsOf(e, WordsLength));
        }

        CallResult Failed(string error) => new(null, error, null, at, Stopwatch.GetElapsedTime(start));
    }

    public void Dispose() => _http.Dispose();

    private async Task<string?> ReadAsync(HttpContent content, CancellationToken ct)
    {
        using var limit = new CancellationTokenSource(BodyLimit, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, limit.Token);
        try
        {
            var bytes = await OutboundHttp.ReadAsync(content, AnswerBytes, either.Token);
            return bytes.Length == 0 ? null : Text.Storable(Encoding.UTF8.GetString(bytes), AnswerBytes);
        }
        catch (Exception e) when (e is OperationCanceledException or HttpRequestException or IOException)
        {
            return null;
        }
    }

    private static string? FaultOf(HttpResponseMessage response) => (int)response.StatusCode switch
    {
        >= 200 and < 300 => null,
        >= 300 and < 400 => $"Redirects are not followed ({(int)response.StatusCode}).",
        (int)HttpStatusCode.Gone => "Gone for good (410).",
        var status => $"Answered {status}.",
    };
}
