namespace CampaignService.Campaigns;

/// <summary>Why the service itself paused a campaign.</summary>
public static class StatusReasons
{
    /// <summary>Found so long after its time, or after its last message, that nobody may be waiting for it any more.</summary>
    public const string Late = "late";

    /// <summary>The database is a copy of another: the original may send the same campaign.</summary>
    public const string Restored = "restored";

    /// <summary>At its time, what it needs was not there any more.</summary>
    public const string NotSendable = "not_sendable";

    /// <summary>The provider of one of its channels takes nothing.</summary>
    public const string ProviderDown = "provider_down";

    public static string MessageOf(string code) => code switch
    {
        Late => "It was found too long after its time, or after its last message, to go on unasked. Resume starts it or goes on; before the first message, cancel calls it off.",
        Restored => "The database is a restored copy, and the original may have sent this campaign. Compare, then resume, stop or cancel it.",
        NotSendable => "At its time its template was not approved or none of its channels was enabled. Mend that, then resume it.",
        ProviderDown => "A server that one of its channels sends to takes nothing at the moment. It is tried now and then, and the campaign goes on by itself when it does.",
        _ => code,
    };
}
