using CampaignService.Channels;
using CampaignService.Common;

namespace CampaignService.Feed;

/// <summary>Which items of a feed to list.</summary>
public sealed class FeedQuery : PageQuery
{
    /// <summary><c>unread</c>: only items not read yet; <c>read</c>: only those read; <c>all</c>: both.</summary>
    public ReadState ReadState { get; init; } = ReadState.All;

    /// <summary>Only items sent at this time or later: RFC 3339 with an offset, or Unix seconds. Exact to the millisecond.</summary>
    /// <example>2026-03-01T09:00:00Z</example>
    [QueryTime]
    public DateTimeOffset? DateFrom { get; init; }

    /// <summary>Only items sent at this time or earlier: RFC 3339 with an offset, or Unix seconds. Exact to the millisecond.</summary>
    /// <example>2026-03-31T23:59:59Z</example>
    [QueryTime]
    public DateTimeOffset? DateTo { get; init; }

    /// <param name="before">Only items with a smaller id.</param>
    internal FeedFilter ToFilter(long before) => new(before, DateFrom, DateTo, ReadState == ReadState.All ? null : ReadState == ReadState.Unread);
}

/// <summary>Whether items have been read.</summary>
public enum ReadState
{
    /// <summary>Read or not.</summary>
    All = 0,

    /// <summary>Read.</summary>
    Read = 1,

    /// <summary>Not read yet.</summary>
    Unread = 2,
}

/// <summary>How far an item has come.</summary>
public enum FeedItemStatus
{
    /// <summary>It is in the feed; no device has reported it.</summary>
    Sent = 0,

    /// <summary>A device has it.</summary>
    Delivered = 1,

    /// <summary>The user has read it.</summary>
    Read = 2,
}

/// <summary>One message in a user's feed.</summary>
/// <param name="Id">Its id.</param>
/// <param name="NotificationId">The sending it came with; all its items share this id.</param>
/// <param name="CampaignId">The campaign it came with, if it came with one.</param>
/// <param name="TemplateId">The slug of its template.</param>
/// <param name="TemplateVersion">The version of that, pinned before it was sent.</param>
/// <param name="ChannelId">The slug of the channel it came by.</param>
/// <param name="ChannelType">That channel's type.</param>
/// <param name="TemplateCategory">The template's category as it is now.</param>
/// <param name="Label">The template's label as it is now.</param>
/// <param name="Tags">The template's tags as they are now.</param>
/// <param name="Content">The template's content with this user's values in it: the object that its author gave for the channel.</param>
/// <param name="Status">How far it has come.</param>
/// <param name="SentAt">When it was put into the feed.</param>
/// <param name="DeliveredAt">When a device first reported it.</param>
/// <param name="ReadAt">When it was first read.</param>
/// <param name="EngagedAt">When the user first acted upon it.</param>
public sealed record FeedItemView(
    string Id, string NotificationId, string? CampaignId, string TemplateId, int TemplateVersion, string ChannelId, ChannelType ChannelType,
    string? TemplateCategory, string? Label, IReadOnlyList<string> Tags, RawJson Content, FeedItemStatus Status,
    DateTimeOffset SentAt, DateTimeOffset? DeliveredAt, DateTimeOffset? ReadAt, DateTimeOffset? EngagedAt);

/// <summary>How many items of a feed have not been read.</summary>
/// <param name="Count">Items.</param>
public sealed record UnreadCount(long Count);
