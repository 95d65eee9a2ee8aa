namespace CampaignService.Channels;

/// <summary>What a provider, or the lack of one, made of a call.</summary>
/// <param name="Outcome">What that means for the message.</param>
/// <param name="Category">Why, when it was not simply taken.</param>
/// <param name="Detail">In words for people, without secrets.</param>
/// <param name="After">How long the provider asked to be left alone.</param>
public sealed record SendResult(SendOutcome Outcome, FailureCategory Category = FailureCategory.None, string? Detail = null, TimeSpan? After = null)
{
    public static readonly SendResult Sent = new(SendOutcome.Sent);

    public static SendResult Retry(FailureCategory category, string detail, TimeSpan? after = null) => new(SendOutcome.Retry, category, detail, after);

    public static SendResult Rejected(FailureCategory category, string detail) => new(SendOutcome.Rejected, category, detail);

    public static SendResult Uncertain(FailureCategory category, string detail) => new(SendOutcome.Uncertain, category, detail);

    /// <summary>Whether it says something of this message; else it says that the provider takes none at the moment.</summary>
    public bool IsAttempt => Category is not (FailureCategory.RateLimited or FailureCategory.Unavailable or FailureCategory.Authentication);
}

public enum SendOutcome
{
    /// <summary>The provider took it.</summary>
    Sent,

    /// <summary>It was not taken, and may be if it is sent again.</summary>
    Retry,

    /// <summary>It was refused for good.</summary>
    Rejected,

    /// <summary>It may have been taken: the call was begun, and no answer came.</summary>
    Uncertain,
}

/// <summary>Why a message was not taken; it stands in the ledger as its reason, in snake case.</summary>
public enum FailureCategory
{
    None,

    /// <summary>Too many at once; the channel waits as long as it was told.</summary>
    RateLimited,

    /// <summary>A fault at the provider.</summary>
    Transient,

    /// <summary>Nobody there who takes messages: no connection, no valid certificate, no such address.</summary>
    Unavailable,

    /// <summary>The channel's credentials are refused.</summary>
    Authentication,

    /// <summary>The message is refused.</summary>
    Permanent,

    /// <summary>The person is not to be reached there any more; later messages to them are skipped.</summary>
    AddressGone,

    /// <summary>No answer within the channel's time limit.</summary>
    Timeout,

    /// <summary>The connection broke before the answer.</summary>
    ConnectionLost,
}
