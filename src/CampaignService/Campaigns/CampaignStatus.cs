using System.Text.Json;

namespace CampaignService.Campaigns;

/// <summary>Where a campaign stands.</summary>
public enum CampaignStatus
{
    /// <summary>Being prepared; recipients can be added.</summary>
    Draft = 0,

    /// <summary>Starts by itself at its time.</summary>
    Scheduled = 1,

    /// <summary>Messages are going out.</summary>
    Sending = 2,

    /// <summary>Held; goes on where it stopped.</summary>
    Paused = 3,

    /// <summary>Everybody who should be served was.</summary>
    Completed = 4,

    /// <summary>Nobody was served.</summary>
    Failed = 5,

    /// <summary>Some were served, some not.</summary>
    PartiallyFailed = 6,

    /// <summary>Called off before the first message.</summary>
    Cancelled = 7,

    /// <summary>Ended early; those left were skipped.</summary>
    Stopped = 8,
}

public static class CampaignStatusNames
{
    /// <summary>The status as it stands in JSON.</summary>
    public static string Wire(this CampaignStatus status) => JsonNamingPolicy.SnakeCaseLower.ConvertName(status.ToString());
}

/// <summary>How urgent a campaign is.</summary>
public enum DeliveryMode
{
    /// <summary>Any number of recipients, in turn with other campaigns.</summary>
    Batch = 0,

    /// <summary>At most 10 recipients, ahead of bulk.</summary>
    Realtime = 1,
}
