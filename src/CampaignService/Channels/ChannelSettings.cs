using System.ComponentModel.DataAnnotations;

namespace CampaignService.Channels;

/// <summary>What an external channel goes by, but for its secrets.</summary>
/// <param name="Url">Where messages go.</param>
/// <param name="HeaderNames">Of the headers that go with each call; their values are secrets.</param>
/// <param name="IsSigned">Whether calls are signed.</param>
/// <param name="TimeoutSeconds">For one call, from its beginning to the headers of the answer.</param>
/// <param name="MaxConcurrency">Calls under way at the same time, of each process.</param>
/// <param name="RatePerSecond">Messages a second, of all processes together; null = no limit.</param>
/// <param name="BatchSize">Messages in one call.</param>
/// <param name="OnUncertain">What becomes of messages that may have been handed over.</param>
public sealed record ChannelSettings(
    string Url, string[] HeaderNames, bool IsSigned, int TimeoutSeconds, int MaxConcurrency, double? RatePerSecond, int BatchSize, UncertainPolicy OnUncertain);

/// <summary>What of a channel's settings is sealed in the database and never told.</summary>
public sealed record ChannelSecrets(IReadOnlyDictionary<string, string> Headers, string? SigningSecret)
{
    public static readonly ChannelSecrets None = new(new Dictionary<string, string>(), null);

    public bool IsEmpty => Headers.Count == 0 && SigningSecret is null;
}

/// <summary>What becomes of a message that may have been handed over, as when a process died between the call and its answer.</summary>
public enum UncertainPolicy
{
    /// <summary>It is listed as uncertain and sent again with the same id, by which the receiver can tell.</summary>
    Resend = 1,

    /// <summary>It is listed as uncertain and stays so until somebody has it sent again.</summary>
    Hold = 2,
}

/// <summary>Settings under <c>Channels__</c>: how messages go to servers of others.</summary>
public sealed class ExternalSettings
{
    /// <summary>Lets calls go to private and loopback addresses; 169.254.0.0/16 never.</summary>
    public bool AllowPrivateNetworks { get; init; }

    /// <summary>How often a message is tried when the provider answers that it failed, or does not answer. Being told to wait, or finding nobody there, is no attempt.</summary>
    [Range(1, 100)]
    public int MaxAttempts { get; init; } = 5;

    /// <summary>How long after the first failure a message is tried again; twice as long after each further one, give or take a fifth.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "01:00:00")]
    public TimeSpan FirstRetry { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The longest such wait, and the longest that a provider's <c>Retry-After</c> is taken for.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")]
    public TimeSpan LongestRetry { get; init; } = TimeSpan.FromHours(1);
}
