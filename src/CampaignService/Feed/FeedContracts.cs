using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Templates;
using FluentValidation;

namespace CampaignService.Feed;

/// <summary>Which items of a feed to list. What is given is combined: an item must meet all of it.</summary>
public sealed class FeedQuery : PageQuery
{
    /// <summary><c>unread</c>: only items not read yet; <c>read</c>: only those read; <c>all</c>: both.</summary>
    public ReadState ReadState { get; init; } = ReadState.All;

    /// <summary>Only items whose template is of this category now: its name, id or slug.</summary>
    /// <example>Marketing</example>
    public string? TemplateCategory { get; init; }

    /// <summary>Only items that came by this channel: its id or slug. One that the app does not have has no items.</summary>
    /// <example>inbox</example>
    public string? ChannelId { get; init; }

    /// <summary>Only items whose template has these tags now, separated by commas.</summary>
    /// <example>sale,spring</example>
    public string? Tags { get; init; }

    /// <summary>Whether one of the tags is enough.</summary>
    public TagMatch TagMatch { get; init; }

    /// <summary>Only items sent at this time or later: RFC 3339 with an offset, or Unix seconds. Exact to the millisecond.</summary>
    /// <example>2026-03-01T09:00:00Z</example>
    [QueryTime]
    public DateTimeOffset? DateFrom { get; init; }

    /// <summary>Only items sent at this time or earlier: RFC 3339 with an offset, or Unix seconds. Exact to the millisecond.</summary>
    /// <example>2026-03-31T23:59:59Z</example>
    [QueryTime]
    public DateTimeOffset? DateTo { get; init; }

    internal bool? Unread => ReadState == ReadState.All ? null : ReadState == ReadState.Unread;
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

/// <summary>What a user did with an item.</summary>
public sealed class Engagement
{
    public const int MaxTopic = 100;

    /// <summary>A word for it, 1 to 100 characters; white space around it is no part of it.</summary>
    /// <example>clicked</example>
    public required string Topic { get; init; }

    public sealed class Validator : AbstractValidator<Engagement>
    {
        public Validator() => RuleFor(b => b.Topic)
            .Must(t => t is null || Text.Length(t.AsSpan().Trim()) is >= 1 and <= MaxTopic).WithMessage($"must have 1 to {MaxTopic} characters");
    }
}

/// <summary>How many items one call has marked as read.</summary>
/// <param name="Count">Items that were unread before.</param>
public sealed record MarkedCount(long Count);

/// <summary>How many items of a feed have not been read.</summary>
/// <param name="Count">Items.</param>
public sealed record UnreadCount(long Count);
