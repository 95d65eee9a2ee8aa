using System.ComponentModel.DataAnnotations;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Feed;
using CampaignService.Templates;

namespace CampaignService.Delivery;

/// <summary>
/// The ledger in numbers. A message is one recipient on one channel; <c>messages = pending + delivered + failed + skipped + uncertain</c>, always.
/// </summary>
/// <param name="Recipients">People in the audience.</param>
/// <param name="Messages">Recipients times channels.</param>
/// <param name="Pending">Not handed over yet.</param>
/// <param name="Delivered">Handed over for good: in the feed, or taken by the provider.</param>
/// <param name="Failed">Refused for good.</param>
/// <param name="Skipped">Left out, each with a reason.</param>
/// <param name="Uncertain">May have been handed over: a process died between the call and its answer.</param>
/// <param name="Channels">The same for each channel.</param>
public sealed record TotalsView(
    long Recipients, long Messages, long Pending, long Delivered, long Failed, long Skipped, long Uncertain, IReadOnlyList<ChannelTotalsView> Channels)
{
    public static TotalsView Of(BatchTotals t, IReadOnlyDictionary<int, ChannelName> channels) => new(
        t.Recipients, t.Messages, t.Pending, t.Delivered, t.Failed, t.Skipped, t.Uncertain,
        [.. t.Channels.Select(c => new ChannelTotalsView(channels[c.ChannelNo].ChannelId, channels[c.ChannelNo].ChannelType, c.Pending, c.Delivered, c.Failed, c.Skipped, c.Uncertain))]);
}

/// <summary>The ledger of one channel in numbers.</summary>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="ChannelType">The channel's type.</param>
/// <param name="Pending">Not handed over yet.</param>
/// <param name="Delivered">Handed over for good.</param>
/// <param name="Failed">Refused for good.</param>
/// <param name="Skipped">Left out, each with a reason.</param>
/// <param name="Uncertain">May have been handed over.</param>
public sealed record ChannelTotalsView(
    string ChannelId, ChannelType ChannelType, long Pending, long Delivered, long Failed, long Skipped, long Uncertain);

/// <summary>What the receiving side reported, in messages.</summary>
/// <param name="Delivered">Seen by a device.</param>
/// <param name="Read">Read.</param>
/// <param name="Engaged">Acted upon.</param>
public sealed record ReceiptsView(long Delivered, long Read, long Engaged)
{
    public static ReceiptsView Of(Receipts? receipts) => new(receipts?.Delivered ?? 0, receipts?.Read ?? 0, receipts?.Engaged ?? 0);
}

/// <summary>A channel as other objects name it.</summary>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="ChannelType">The channel's type.</param>
public sealed record ChannelName(string ChannelId, ChannelType ChannelType)
{
    /// <summary>The channels of a template version, by number.</summary>
    public static Dictionary<int, ChannelName> Of(TemplateVersion version) => version.Content.Channels.ToDictionary(c => c.ChannelNo, c => new ChannelName(c.ChannelId, c.Type));
}

/// <summary>Which recipients to list.</summary>
public sealed class RecipientQuery
{
    /// <summary>Only those with this status: on the channel given, else over all channels.</summary>
    public MessageStatus? Status { get; init; }

    /// <summary>Only this channel, by id or slug.</summary>
    public string? ChannelId { get; init; }

    /// <summary>Only those with this text in their user id, whatever the case.</summary>
    public string? Search { get; init; }

    /// <summary>Rows in a page, 1 to 1000.</summary>
    [Range(1, 1000, ErrorMessage = "must be a whole number from 1 to 1000")]
    public int Limit { get; init; } = 20;

    /// <summary>The <c>next</c> of the page before; left out for the first page.</summary>
    public string? Cursor { get; init; }
}

/// <summary>A recipient and what became of the messages to them.</summary>
/// <param name="UserId">Who.</param>
/// <param name="Variables">The values given for this recipient alone.</param>
/// <param name="Status">Over all channels: delivered if any is, else the first of uncertain, pending, failed, skipped that any is.</param>
/// <param name="Channels">Channel by channel.</param>
public sealed record RecipientView(string UserId, IReadOnlyDictionary<string, RawJson> Variables, MessageStatus Status, IReadOnlyList<MessageView> Channels)
{
    /// <summary>The same, seen on one channel alone.</summary>
    public RecipientView On(string channelId)
    {
        MessageView[] messages = [.. Channels.Where(c => c.ChannelId == channelId)];
        return this with { Channels = messages, Status = messages.Length == 0 ? Status : messages[0].Status };
    }
}

/// <summary>What became of one message.</summary>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="ChannelType">The channel's type.</param>
/// <param name="Status">What became of it.</param>
/// <param name="Reason">Why it was skipped or failed, for programs.</param>
/// <param name="Detail">More on the reason, such as the name of the variable that is missing.</param>
/// <param name="Attempts">How often it was tried.</param>
/// <param name="At">When it got this status; null while it is pending.</param>
public sealed record MessageView(
    string ChannelId, ChannelType ChannelType, MessageStatus Status, string? Reason, string? Detail, int Attempts, DateTimeOffset? At);

/// <summary>The whole ledger in numbers.</summary>
/// <param name="Totals">By status.</param>
/// <param name="Reasons">By reason: everything that was not simply delivered.</param>
/// <param name="Exclusions">Those who never became recipients, by reason.</param>
public sealed record SummaryView(TotalsView Totals, IReadOnlyList<ReasonView> Reasons, IReadOnlyDictionary<string, int> Exclusions);

/// <summary>How many messages share a reason.</summary>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="Status">Their status.</param>
/// <param name="Reason">Their reason.</param>
/// <param name="Count">How many.</param>
public sealed record ReasonView(string ChannelId, MessageStatus Status, string Reason, long Count);

/// <summary>Why a campaign or a notification stands where it does.</summary>
/// <param name="Code">For programs.</param>
/// <param name="Message">For people.</param>
public sealed record StatusReason(string Code, string Message);
