using CampaignService.Scheduling;

namespace CampaignService.Delivery;

/// <summary>Why the service itself holds a batch.</summary>
public enum HoldReason
{
    /// <summary>Without progress for longer than <see cref="SchedulingSettings.MaxLateness"/>.</summary>
    Late,

    /// <summary>In a restored copy of a database.</summary>
    Restored,

    /// <summary>A provider it goes to takes nothing; it goes on by itself.</summary>
    ProviderDown,
}

/// <summary>What callers are told these reasons by.</summary>
public static class HoldReasons
{
    public const string Late = "late", Restored = "restored", ProviderDown = "provider_down";

    public static string Code(this HoldReason reason) => reason switch
    {
        HoldReason.Late => Late,
        HoldReason.Restored => Restored,
        HoldReason.ProviderDown => ProviderDown,
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "No such reason."),
    };
}
