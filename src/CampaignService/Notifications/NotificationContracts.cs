using System.Text.Json;
using CampaignService.Common;
using CampaignService.Delivery;
using FluentValidation;
using FluentValidation.Results;

namespace CampaignService.Notifications;

/// <summary>A direct notification.</summary>
public sealed class SendNotification
{
    /// <summary>The most receivers of one call.</summary>
    public const int MaxReceivers = 10_000;

    /// <summary>The most receivers to whom it is delivered within the call.</summary>
    public const int MaxRealtime = 10;

    /// <summary>The template, by id or slug.</summary>
    /// <example>cc-template-order-shipped</example>
    public required string TemplateId { get; init; }

    /// <summary>The version of it; the newest approved one when left out.</summary>
    public int? TemplateVersion { get; init; }

    /// <summary>1 to 10,000 user ids, each 1 to 255 characters without surrounding white space. One that is repeated is sent to once. To ten different ones or fewer it is delivered before the answer.</summary>
    public required IReadOnlyList<string> Receivers { get; init; }

    /// <summary>Values by user id (which must be in <c>receivers</c>), then by variable of the template.</summary>
    public Dictionary<string, Dictionary<string, JsonElement>>? Variables { get; init; }

    /// <summary>A word to group notifications by, up to 100 characters.</summary>
    /// <example>orders</example>
    public string? Tag { get; init; }

    public class Validator : AbstractValidator<SendNotification>
    {
        public Validator()
        {
            RuleFor(b => b.TemplateId).NotEmpty().WithMessage("must not be empty");
            RuleFor(b => b.TemplateVersion).GreaterThan(0).WithMessage("must be 1 or more");
            RuleFor(b => b.Tag).AtMost(Text.MaxLabel);
            RuleFor(b => b.Receivers).Must(r => r is null || r.Count <= MaxReceivers).WithErrorCode("ERR_TARGET_LIMIT_EXCEEDED")
                .WithMessage(b => $"may hold at most {MaxReceivers:N0}, this has {b.Receivers.Count:N0}; send to more in several calls, or make a campaign");
            RuleFor(b => b.Receivers).Must(r => r is null || r.Count > 0).WithMessage("must hold 1 to 10,000 user ids, this has none")
                .DependentRules(() => RuleForEach(b => b.Receivers).UserId().When(b => b.Receivers is { Count: <= MaxReceivers }));
            RuleFor(b => b.Variables).Custom((variables, context) =>
            {
                foreach (var fault in FaultsIn(variables, context.InstanceToValidate.Receivers).Take(JsonFaults.MaxFaults)) context.AddFailure(fault.Path, fault.Message);
            });
        }

        /// <summary>The usual body is seen to be right at once: to go through the rules takes as long as all else that is done with it before it is written.</summary>
        protected override bool PreValidate(ValidationContext<SendNotification> context, ValidationResult result) => !IsPlain(context.InstanceToValidate);

        /// <returns>True only when the rules have nothing to say; false says nothing.</returns>
        private static bool IsPlain(SendNotification body)
        {
            if (string.IsNullOrWhiteSpace(body.TemplateId) || body.TemplateVersion <= 0 || body.Tag?.Length > Text.MaxLabel || body.Receivers is not { Count: > 0 and <= MaxRealtime }) return false;
            foreach (var receiver in body.Receivers)
            {
                if (Text.UserIdFault(receiver) is not null) return false;
            }
            foreach (var (id, values) in body.Variables ?? [])
            {
                // Written exactly as it is in receivers, and so by no other member too.
                if (values is null || id.Trim().Length != id.Length || !body.Receivers.Contains(id)) return false;
            }
            return true;
        }

        private static IEnumerable<(string Path, string Message)> FaultsIn(Dictionary<string, Dictionary<string, JsonElement>>? variables, IReadOnlyList<string>? receivers)
        {
            if (variables is null || receivers is null) yield break;
            var (known, seen) = (receivers.Where(r => r is not null).Select(r => r.Trim()).ToHashSet(), new HashSet<string>());
            foreach (var (id, values) in variables)
            {
                if (!known.Contains(id.Trim())) yield return ($"variables.{id}", "is not in receivers");
                else if (values is null) yield return ($"variables.{id}", "must be an object");
                else if (!seen.Add(id.Trim())) yield return ($"variables.{id}", "stands there twice, but for white space");
            }
        }
    }
}

/// <summary>A notification that was delivered within the call.</summary>
/// <param name="NotificationId">Its id; `GET /api/notifications/{id}` follows it.</param>
/// <param name="Channels">The channels it went to.</param>
/// <param name="Mode">Always `realtime`.</param>
/// <param name="Duplicates">How often a receiver was named again.</param>
public sealed record SentNotification(string NotificationId, IReadOnlyList<ChannelName> Channels, NotificationMode Mode, int Duplicates);

/// <summary>A notification that was queued.</summary>
/// <param name="BatchId">Its id; `GET /api/notifications/{id}` follows it.</param>
/// <param name="Total">Different receivers.</param>
/// <param name="Channels">The channels it goes to.</param>
/// <param name="Mode">Always `batch`.</param>
/// <param name="Duplicates">How often a receiver was named again.</param>
public sealed record QueuedNotification(string BatchId, int Total, IReadOnlyList<ChannelName> Channels, NotificationMode Mode, int Duplicates);

/// <summary>Which notifications to list.</summary>
public sealed class NotificationQuery : PageQuery
{
    /// <summary>Only those with this status.</summary>
    public NotificationStatus? Status { get; init; }

    /// <summary>Only those with exactly this tag.</summary>
    public string? Tag { get; init; }
}

/// <summary>A direct notification and what became of it.</summary>
/// <param name="Id">Its id: the `notificationId` or `batchId` of the answer to its sending.</param>
/// <param name="Mode">How it travels.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="StatusReason">Why it stands there, when that was not somebody's doing.</param>
/// <param name="TemplateId">The slug of what it sends.</param>
/// <param name="TemplateVersion">The version of that.</param>
/// <param name="Tag">The word it is grouped by.</param>
/// <param name="Duplicates">How often a receiver was named again.</param>
/// <param name="Totals">Its ledger in numbers.</param>
/// <param name="Receipts">What the receiving side reported.</param>
/// <param name="Progress">The part of its messages that is not pending, 0 to 1.</param>
/// <param name="CreatedAt">When it was sent or queued.</param>
/// <param name="CompletedAt">When nothing was pending any more.</param>
public sealed record NotificationView(
    string Id, NotificationMode Mode, NotificationStatus Status, StatusReason? StatusReason, string TemplateId, int TemplateVersion, string? Tag,
    int Duplicates, TotalsView Totals, ReceiptsView Receipts, double Progress, DateTimeOffset CreatedAt, DateTimeOffset? CompletedAt);
