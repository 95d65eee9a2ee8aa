using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.Webhooks;
using Microsoft.Extensions.Options;

namespace CampaignService.Channels.Webhook;

/// <summary>POSTs messages to the channel's URL: one by one, or several as an array. The status of the answer is the answer; its body is not read.</summary>
public sealed class WebhookChannel(IOptions<ExternalSettings> settings, TimeProvider clock) : IChannel, IDisposable
{
    /// <summary>For looking up, connecting and TLS; a channel's own limit may be shorter.</summary>
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(5);

    private const int WordsLength = 300;

    /// <summary>A larger buffer is not kept for the next body.</summary>
    private const int MostKept = 64 * 1024;

    [ThreadStatic]
    private static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Json) _body;

    // How many calls there are at once is the channel's own limit.
    private readonly HttpMessageInvoker _http = OutboundHttp.Create(settings.Value.AllowPrivateNetworks, int.MaxValue, ConnectLimit);

    /// <summary>Time limits of calls that ended in time: making one for each call costs a timer.</summary>
    private readonly ConcurrentBag<CancellationTokenSource> _limits = [];

    public ChannelType Type => ChannelType.Webhook;

    public void Dispose()
    {
        _http.Dispose();
        foreach (var limit in _limits) limit.Dispose();
    }

    public async Task<SendResult> SendAsync(ChannelRoute route, IReadOnlyList<OutgoingMessage> messages, CancellationToken ct)
    {
        var body = BodyOf(route, messages);
        using var content = new Body(body);
        using var request = new HttpRequestMessage(HttpMethod.Post, route.Url) { Content = content };
        AddHeaders(request, route, IdOf(route, messages), body);
        var limit = _limits.TryTake(out var used) ? used : new CancellationTokenSource();
        limit.CancelAfter(route.Timeout);
        var abandon = ct.UnsafeRegister(static limit => ((CancellationTokenSource)limit!).Cancel(), limit);
        try
        {
            using var response = await _http.SendAsync(request, limit.Token);
            return ResultOf(response, ofOne: messages.Count == 1);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or NotSupportedException)
        {
            var isLate = e is OperationCanceledException;
            var words = isLate ? $"no answer within {route.Settings.TimeoutSeconds} s" : OutboundHttp.WordsOf(e, WordsLength);
            // Where not a byte of it was written, nobody can have taken it.
            if (!content.WasBegun) return SendResult.Retry(FailureCategory.Unavailable, words);
            return SendResult.Uncertain(isLate ? FailureCategory.Timeout : FailureCategory.ConnectionLost, words);
        }
        finally
        {
            await abandon.DisposeAsync();
            if (limit.TryReset()) _limits.Add(limit);
            else limit.Dispose();
        }
    }

    private void AddHeaders(HttpRequestMessage request, ChannelRoute route, string id, ReadOnlyMemory<byte> body)
    {
        request.Headers.TryAddWithoutValidation("Idempotency-Key", id);
        foreach (var (name, value) in route.Secrets.Headers) request.Headers.TryAddWithoutValidation(name, value);
        if (route.Secrets.SigningSecret is { } secret) WebhookSecret.SignTo(request.Headers, [secret], id, clock.GetUtcNow(), body.Span);
    }

    private SendResult ResultOf(HttpResponseMessage response, bool ofOne)
    {
        var status = (int)response.StatusCode;
        if (status is >= 200 and < 300) return SendResult.Sent;
        var words = $"HTTP {status}";
        var asked = OutboundHttp.RetryAfterOf(response, clock.GetUtcNow());
        return status switch
        {
            >= 300 and < 400 => SendResult.Retry(FailureCategory.Unavailable, $"{words}; redirects are not followed"),
            401 or 403 or 407 => SendResult.Retry(FailureCategory.Authentication, words),
            // Of the URL and not of a person, who stands in the body.
            404 or 405 or 501 => SendResult.Retry(FailureCategory.Unavailable, words),
            410 when ofOne => SendResult.Rejected(FailureCategory.AddressGone, words),
            429 => SendResult.Retry(FailureCategory.RateLimited, words, asked),
            503 when asked is not null => SendResult.Retry(FailureCategory.RateLimited, words, asked),
            // 409: a call with this key is still being worked on.
            408 or 409 or 425 or >= 500 => SendResult.Retry(FailureCategory.Transient, words),
            _ => SendResult.Rejected(FailureCategory.Permanent, words),
        };
    }

    private static string IdOf(ChannelRoute route, IReadOnlyList<OutgoingMessage> messages)
    {
        if (route.Settings.BatchSize == 1) return messages[0].Id;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var message in messages) hash.AppendData(Encoding.UTF8.GetBytes(message.Id));
        return $"arr_{Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16))}";
    }

    private static byte[] BodyOf(ChannelRoute route, IReadOnlyList<OutgoingMessage> messages)
    {
        if (_body.Buffer is null)
        {
            var made = new ArrayBufferWriter<byte>(1024);
            _body = (made, new Utf8JsonWriter(made, new JsonWriterOptions { Encoder = Json.Options.Encoder, SkipValidation = true }));
        }
        var (buffer, json) = _body;
        buffer.ResetWrittenCount();
        json.Reset();
        if (route.Settings.BatchSize > 1) json.WriteStartArray();
        foreach (var message in messages) Write(json, message);
        if (route.Settings.BatchSize > 1) json.WriteEndArray();
        json.Flush();
        if (buffer.Capacity > MostKept) _body = default;
        return buffer.WrittenSpan.ToArray();
    }

    private static void Write(Utf8JsonWriter json, OutgoingMessage message)
    {
        var source = message.Source;
        json.WriteStartObject();
        json.WriteString("messageId"u8, message.Id);
        json.WriteStartObject("user"u8);
        json.WriteString("id"u8, message.UserId);
        json.WriteEndObject();
        json.WritePropertyName("content"u8);
        json.WriteRawValue(message.Content.Span, skipInputValidation: true);
        json.WriteString("notificationId"u8, source.NotificationId);
        if (source.CampaignId is null) json.WriteNull("campaign"u8);
        else
        {
            json.WriteStartObject("campaign"u8);
            json.WriteString("id"u8, source.CampaignId);
            json.WriteEndObject();
        }
        json.WriteString("templateId"u8, source.TemplateId);
        json.WriteNumber("templateVersion"u8, source.TemplateVersion);
        json.WriteString("channelId"u8, source.ChannelId);
        json.WriteEndObject();
    }

    /// <summary>A body that knows whether any of it was written.</summary>
    private sealed class Body : HttpContent
    {
        private readonly ReadOnlyMemory<byte> _json;

        public Body(ReadOnlyMemory<byte> json)
        {
            _json = json;
            // As it is: a value that was taken apart is put together again for each call.
            Headers.TryAddWithoutValidation("Content-Type", "application/json");
        }

        public bool WasBegun { get; private set; }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            WasBegun = true;
            return stream.WriteAsync(_json, cancellationToken).AsTask();
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _json.Length;
            return true;
        }
    }
}
