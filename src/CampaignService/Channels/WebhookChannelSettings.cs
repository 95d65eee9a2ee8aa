using System.Text.RegularExpressions;
using CampaignService.Common;

namespace CampaignService.Channels;

/// <summary>Settings of a channel of the type `webhook`. In a change, members left out stay as they are; `null` takes away what may be missing.</summary>
public sealed partial class WebhookChannelSettings
{
    private const int MaxHeaders = 20, MaxHeaderValue = 4_096, MaxTimeout = 60, MostAtOnce = 2_048, MaxBatch = 100;
    private const double MinRate = 0.01, MaxRate = 100_000;

    /// <summary>Where each message is POSTed: https or http. No private address, unless `Channels__AllowPrivateNetworks` is set.</summary>
    /// <example>https://gateway.example.com/messages</example>
    public string? Url { get; init; }

    /// <summary>Headers to go with each call, such as credentials: up to 20. They are kept encrypted, and only their names are told again.</summary>
    public Optional<Dictionary<string, string>?> Headers { get; init; }

    /// <summary>Signs each call as the Standard Webhooks specification says: <c>whsec_</c> and 24 to 64 bytes in base64. It is kept encrypted and never told again.</summary>
    public Optional<string?> Secret { get; init; }

    /// <summary>How long a call may take, 1 to 60 seconds; 10 when left out.</summary>
    public int? TimeoutSeconds { get; init; }

    /// <summary>Calls under way at the same time, of each process, 1 to 2,048; 256 when left out.</summary>
    public int? MaxConcurrency { get; init; }

    /// <summary>The most messages a second, of all processes together, 0.01 to 100,000; no limit when left out.</summary>
    public Optional<double?> RatePerSecond { get; init; }

    /// <summary>Messages in one call, 1 to 100; 1 when left out. With more, the body is an array.</summary>
    public int? BatchSize { get; init; }

    /// <summary>What becomes of messages that may have been handed over: <c>resend</c>, with the same id, or <c>hold</c>; <c>resend</c> when left out.</summary>
    public UncertainPolicy? OnUncertain { get; init; }

    /// <summary>What is wrong with the members given, by member.</summary>
    public IEnumerable<(string Member, string Fault)> Faults(bool allowPrivate)
    {
        if (Url is not null && OutboundAddress.FaultIn(Url, allowPrivate) is { } url) yield return ("url", url);
        if (Secret.Value is { } secret && !IsSigningSecret(secret)) yield return ("secret", "must be whsec_ and 24 to 64 bytes in base64");
        if (TimeoutSeconds is < 1 or > MaxTimeout) yield return ("timeoutSeconds", $"must be a whole number from 1 to {MaxTimeout}");
        if (MaxConcurrency is < 1 or > MostAtOnce) yield return ("maxConcurrency", $"must be a whole number from 1 to {MostAtOnce:N0}");
        if (FaultInRate(RatePerSecond.Value) is { } rate) yield return ("ratePerSecond", rate);
        if (BatchSize is < 1 or > MaxBatch) yield return ("batchSize", $"must be a whole number from 1 to {MaxBatch}");
        if (Headers.Value is not { } headers) yield break;
        if (headers.Count > MaxHeaders) yield return ("headers", $"may hold at most {MaxHeaders}");
        foreach (var (name, value) in headers.Take(MaxHeaders))
        {
            if (!HeaderName().IsMatch(name) || Reserved().IsMatch(name)) yield return ($"headers.{name}", "is no name of a header that can be set");
            else if (value is null || value.Length > MaxHeaderValue || !HeaderValue().IsMatch(value)) yield return ($"headers.{name}", $"must be 1 to {MaxHeaderValue:N0} printable ASCII characters");
        }
    }

    /// <summary>What is wrong with a limit; null when nothing is.</summary>
    public static string? FaultInRate(double? rate) => rate is null or (>= MinRate and <= MaxRate) ? null : $"must be a number from {MinRate} to {MaxRate:N0}";

    /// <summary>These settings over those before.</summary>
    public ChannelSettings Over(ChannelSettings? before, ChannelSecrets secrets) => new(
        Url ?? before!.Url,
        [.. secrets.Headers.Keys.Order(StringComparer.OrdinalIgnoreCase)],
        secrets.SigningSecret is not null,
        TimeoutSeconds ?? before?.TimeoutSeconds ?? 10,
        MaxConcurrency ?? before?.MaxConcurrency ?? 256,
        RatePerSecond.Or(before?.RatePerSecond),
        BatchSize ?? before?.BatchSize ?? 1,
        OnUncertain ?? before?.OnUncertain ?? UncertainPolicy.Resend);

    private static bool IsSigningSecret(string secret)
    {
        const string prefix = "whsec_";
        var key = new byte[96];
        return secret.StartsWith(prefix, StringComparison.Ordinal) && Convert.TryFromBase64String(secret[prefix.Length..], key, out var length) && length is >= 24 and <= 64;
    }

    [GeneratedRegex(@"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\z")]
    private static partial Regex HeaderName();

    [GeneratedRegex(@"^[\x20-\x7e]+\z")]
    private static partial Regex HeaderValue();

    [GeneratedRegex("^(host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|idempotency-key|webhook-.*)$", RegexOptions.IgnoreCase)]
    private static partial Regex Reserved();
}

/// <summary>Settings of a channel of the type `webhook`, as they can be told.</summary>
/// <param name="Url">Where each message is POSTed.</param>
/// <param name="Headers">Names of the headers that go with each call; their values are never told.</param>
/// <param name="HasSecret">Whether calls are signed; the secret is never told.</param>
/// <param name="TimeoutSeconds">How long a call may take.</param>
/// <param name="MaxConcurrency">Calls under way at the same time, of each process.</param>
/// <param name="RatePerSecond">The most messages a second, of all processes together.</param>
/// <param name="BatchSize">Messages in one call.</param>
/// <param name="OnUncertain">What becomes of messages that may have been handed over.</param>
public sealed record WebhookChannelView(
    string Url, IReadOnlyList<string> Headers, bool HasSecret, int TimeoutSeconds, int MaxConcurrency, double? RatePerSecond, int BatchSize, UncertainPolicy OnUncertain)
{
    public static WebhookChannelView? Of(ChannelSettings? s) =>
        s is null ? null : new(s.Url, s.HeaderNames, s.IsSigned, s.TimeoutSeconds, s.MaxConcurrency, s.RatePerSecond, s.BatchSize, s.OnUncertain);
}
