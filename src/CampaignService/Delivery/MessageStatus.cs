namespace CampaignService.Delivery;

/// <summary>What became of one message: one recipient on one channel.</summary>
public enum MessageStatus
{
    /// <summary>Not handed over yet.</summary>
    Pending = 1,

    /// <summary>Handed over for good: in the feed, or taken by the provider.</summary>
    Delivered = 2,

    /// <summary>Refused for good.</summary>
    Failed = 3,

    /// <summary>Left out, with a reason.</summary>
    Skipped = 4,

    /// <summary>May have been handed over: the process died between the call and its answer.</summary>
    Uncertain = 5,
}
