using System.ComponentModel.DataAnnotations;

namespace CampaignService.Webhooks;

/// <summary>Settings under <c>Webhooks__</c>.</summary>
public sealed class WebhookSettings
{
    /// <summary>Lets webhooks go to private and loopback addresses; to link-local ones they never go.</summary>
    public bool AllowPrivateNetworks { get; init; }

    /// <summary>The most webhooks of one app.</summary>
    [Range(1, 1_000)]
    public int MaxPerApp { get; init; } = 50;

    /// <summary>Calls under way at once in a process.</summary>
    [Range(2, 10_000)]
    public int Concurrency { get; init; } = 512;

    /// <summary>Of those, to one webhook.</summary>
    [Range(2, 1_000)]
    public int ConcurrencyPerWebhook { get; init; } = 32;

    /// <summary>A webhook that took nothing for so many days, although it was tried all the time, is disabled.</summary>
    [Range(1, 365)]
    public int DisableAfterDays { get; init; } = 5;
}

/// <summary>More settings under <c>Retention__</c>.</summary>
public sealed class EventRetentionSettings
{
    /// <summary>For how many days the log keeps events; 0 = for ever. The last attempt to deliver one comes after some 40 hours.</summary>
    [Range(0, 36_500)]
    public int EventsDays { get; init; } = 30;

    /// <summary>For how many days attempts to deliver them are listed; 0 = for ever.</summary>
    [Range(0, 36_500)]
    public int AttemptsDays { get; init; } = 7;
}
