using CampaignService.Delivery;

namespace CampaignService.Campaigns;

/// <summary>Why the service itself paused a campaign: what can hold any batch (<see cref="HoldReasons"/>), and what only a campaign can be held by.</summary>
public static class StatusReasons
{
    /// <summary>At its time, what it needs was not there any more.</summary>
    public const string NotSendable = "not_sendable";

    public static string MessageOf(string code) => code switch
    {
        HoldReasons.Late => "It was found too long after its time, or after its last message, to go on unasked. Resume starts it or goes on; before the first message, cancel calls it off.",
        HoldReasons.Restored => "The database is a restored copy, and the original may have sent this campaign. Compare, then resume, stop or cancel it.",
        NotSendable => "At its time its template was not approved or none of its channels was enabled. Mend that, then resume it.",
        HoldReasons.ProviderDown => "A server that one of its channels sends to takes nothing at the moment. It is tried now and then, and the campaign goes on by itself when it does.",
        _ => code,
    };
}
