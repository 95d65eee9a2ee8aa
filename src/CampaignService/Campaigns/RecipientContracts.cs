using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Delivery;
using FluentValidation;

namespace CampaignService.Campaigns;

/// <summary>Recipients by id.</summary>
public sealed class AddRecipients
{
    /// <summary>The most ids in one call; a campaign may have any number.</summary>
    public const int MaxUserIds = 10_000;

    /// <summary>1 to 10,000 user ids, each 1 to 255 characters without surrounding white space. One that is repeated, or is a recipient already, is counted as a duplicate.</summary>
    public required IReadOnlyList<string> UserIds { get; init; }

    /// <summary>Values for single recipients: by user id (which must be in <c>userIds</c>), then by variable of the template.</summary>
    public Dictionary<string, Dictionary<string, JsonElement>>? UserVariables { get; init; }

    public sealed class Validator : AbstractValidator<AddRecipients>
    {
        public Validator()
        {
            RuleFor(b => b.UserIds).Must(ids => ids is null || ids.Count is >= 1 and <= MaxUserIds)
                .WithMessage(b => $"must hold 1 to {MaxUserIds:N0} user ids, this has {b.UserIds.Count:N0}; send more in further calls, or upload a CSV file")
                .DependentRules(() => RuleForEach(b => b.UserIds).UserId());
        }
    }
}

/// <summary>What adding recipients came to.</summary>
/// <param name="Added">New recipients.</param>
/// <param name="Duplicates">Ids that were repeated or in the campaign already.</param>
/// <param name="Total">Recipients of the campaign now.</param>
public sealed record AddedRecipients(int Added, int Duplicates, int Total);

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
public sealed record RecipientView(string UserId, IReadOnlyDictionary<string, RawJson> Variables, MessageStatus Status, IReadOnlyList<MessageView> Channels);

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

/// <summary>What an upload came to.</summary>
/// <param name="CampaignId">The campaign.</param>
/// <param name="Uploaded">New recipients.</param>
/// <param name="Total">Recipients of the campaign now.</param>
/// <param name="Duplicates">Rows whose user id stood in the file before, or was in the campaign already; the first counts.</param>
/// <param name="Rejected">Rows that were left out because they are faulty.</param>
/// <param name="Errors">The first 100 of those, each with its line.</param>
public sealed record UploadView(string CampaignId, int Uploaded, int Total, int Duplicates, int Rejected, IReadOnlyList<CsvRowError> Errors);
