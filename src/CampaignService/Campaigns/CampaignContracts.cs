using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Delivery;
using FluentValidation;

namespace CampaignService.Campaigns;

/// <summary>A new campaign.</summary>
public sealed class CreateCampaign
{
    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>Spring sale</example>
    public required string Name { get; init; }

    /// <summary>For people, up to 2,000 characters.</summary>
    public string? Description { get; init; }

    /// <summary>What is sent: the id or slug of a template.</summary>
    /// <example>cc-template-spring-sale</example>
    public required string TemplateId { get; init; }

    /// <summary>The version of the template, pinned now; the newest approved one when left out.</summary>
    public int? TemplateVersion { get; init; }

    /// <summary>Values for all recipients, by variable of the template; a recipient's own value goes before.</summary>
    public Dictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>A word to group campaigns by, up to 100 characters.</summary>
    /// <example>sale</example>
    public string? Tag { get; init; }

    /// <summary><c>batch</c> for any number of recipients; <c>realtime</c> for at most 10, ahead of bulk.</summary>
    public DeliveryMode DeliveryMode { get; init; } = DeliveryMode.Batch;

    /// <summary>On whose behalf the campaign is sent: a user id, 1 to 255 characters.</summary>
    public string? SenderId { get; init; }

    /// <summary>The most messages a second to its external channels, all of them and all processes together, 0.01 to 100,000; no limit when left out. What goes to feeds is not counted.</summary>
    public double? RatePerSecond { get; init; }

    /// <summary>Not taken by this version: recipients are added by id or CSV. An audience here is refused rather than ignored.</summary>
    public JsonElement? Audience { get; init; }

    public sealed class Validator : AbstractValidator<CreateCampaign>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.Description).AtMost(2000);
            RuleFor(b => b.Tag).AtMost(Text.MaxLabel);
            RuleFor(b => b.SenderId).UserId().When(b => b.SenderId is not null);
            RuleFor(b => b.TemplateVersion).Must(v => v is null or >= 1).WithMessage("must be a whole number from 1");
            RuleFor(b => b.RatePerSecond).Rate();
            RuleFor(b => b.Audience).Null().WithMessage("this version takes no audience; add recipients by id or CSV and leave it out");
        }
    }
}

/// <summary>A change to a draft: members left out stay as they are, <c>null</c> empties those that may be empty.</summary>
public sealed class EditCampaign
{
    /// <summary>For people, 1 to 200 characters.</summary>
    public string? Name { get; init; }

    /// <summary>For people, up to 2,000 characters.</summary>
    public Optional<string?> Description { get; init; }

    /// <summary>The id or slug of a template. Its schema must have a variable for every column that was uploaded.</summary>
    public string? TemplateId { get; init; }

    /// <summary>The version of the template.</summary>
    public int? TemplateVersion { get; init; }

    /// <summary>Values for all recipients, in place of those before.</summary>
    public Dictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>A word to group campaigns by, up to 100 characters.</summary>
    public Optional<string?> Tag { get; init; }

    /// <summary><c>batch</c> or <c>realtime</c>.</summary>
    public DeliveryMode? DeliveryMode { get; init; }

    /// <summary>On whose behalf the campaign is sent: a user id.</summary>
    public Optional<string?> SenderId { get; init; }

    /// <summary>The most messages a second to its external channels.</summary>
    public Optional<double?> RatePerSecond { get; init; }

    public sealed class Validator : AbstractValidator<EditCampaign>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.Description.Value).AtMost(2000).OverridePropertyName("description");
            RuleFor(b => b.Tag.Value).AtMost(Text.MaxLabel).OverridePropertyName("tag");
            RuleFor(b => b.SenderId.Value).UserId().When(b => b.SenderId.Value is not null).OverridePropertyName("senderId");
            RuleFor(b => b.TemplateVersion).Must(v => v is null or >= 1).WithMessage("must be a whole number from 1");
            RuleFor(b => b.RatePerSecond.Value).Rate().OverridePropertyName("ratePerSecond");
        }
    }
}

/// <summary>How fast to send to external channels.</summary>
public sealed class LimitCampaign
{
    /// <summary>The most messages a second, all processes together, 0.01 to 100,000; `null` takes the limit away.</summary>
    /// <example>100</example>
    public required double? RatePerSecond { get; init; }

    public sealed class Validator : AbstractValidator<LimitCampaign>
    {
        public Validator() => RuleFor(b => b.RatePerSecond).Rate();
    }
}

/// <summary>Which campaigns to list.</summary>
public sealed class CampaignQuery : PageQuery
{
    /// <summary>Only those with this status.</summary>
    public CampaignStatus? Status { get; init; }

    /// <summary>Only those with this text in their name or id, whatever the case.</summary>
    public string? Search { get; init; }

    /// <summary>Only those with exactly this tag.</summary>
    public string? Tag { get; init; }
}

/// <summary>A campaign.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Name">For people.</param>
/// <param name="Description">For people.</param>
/// <param name="TemplateId">The slug of what it sends.</param>
/// <param name="TemplateVersion">The version of that, pinned when the campaign was made.</param>
/// <param name="Status">Where it stands.</param>
/// <param name="StatusReason">Why it stands there, when that was not somebody's doing.</param>
/// <param name="DeliveryMode">How urgent it is.</param>
/// <param name="Tag">The word it is grouped by.</param>
/// <param name="Variables">Values for all recipients.</param>
/// <param name="SenderId">On whose behalf it is sent.</param>
/// <param name="RatePerSecond">The most messages a second to its external channels; null = no limit.</param>
/// <param name="ScheduledAt">When it starts by itself, or did.</param>
/// <param name="ScheduleZone">The offset from UTC in which that time was given, such as `+05:30`.</param>
/// <param name="StopAt">When it stops by itself.</param>
/// <param name="StartedAt">When sending began.</param>
/// <param name="CompletedAt">When nothing was pending any more.</param>
/// <param name="PausedAt">Since when it is held.</param>
/// <param name="Totals">Its ledger in numbers.</param>
/// <param name="Receipts">What the receiving side reported.</param>
/// <param name="Progress">The part of its messages that is not pending, 0 to 1.</param>
/// <param name="SecondsLeft">While sending: how long it will take at the pace of the last half minute, in seconds; null when that cannot be told.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it was last changed.</param>
public sealed record CampaignView(
    string Id, string Name, string? Description, string TemplateId, int TemplateVersion, CampaignStatus Status, StatusReason? StatusReason,
    DeliveryMode DeliveryMode, string? Tag, IReadOnlyDictionary<string, RawJson> Variables, string? SenderId, double? RatePerSecond,
    DateTimeOffset? ScheduledAt, string? ScheduleZone, DateTimeOffset? StopAt, DateTimeOffset? StartedAt, DateTimeOffset? CompletedAt, DateTimeOffset? PausedAt,
    TotalsView Totals, ReceiptsView Receipts, double Progress, long? SecondsLeft, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

/// <summary>How to send.</summary>
public sealed class SendCampaign
{
    /// <summary>When to start, in the future; now when left out. The offset it is given in is kept as `scheduleZone`.</summary>
    /// <example>2030-03-01T09:00:00+01:00</example>
    public DateTimeOffset? ScheduledAt { get; init; }

    /// <summary>From when on nothing more is sent: those left are skipped with the reason `stopped`. After the start. Left out, the one set earlier stays; `null` takes it away.</summary>
    public Optional<DateTimeOffset?> StopAt { get; init; }

    public sealed class Validator : AbstractValidator<SendCampaign>
    {
        public Validator(TimeProvider clock)
        {
            RuleFor(b => b.ScheduledAt).InFuture(clock);
            RuleFor(b => b.StopAt.Value).After(b => b.ScheduledAt, clock).OverridePropertyName("stopAt");
        }
    }
}

/// <summary>When to send.</summary>
public sealed class ScheduleCampaign
{
    /// <summary>When to start, in the future. The offset it is given in is kept as `scheduleZone`.</summary>
    /// <example>2030-03-01T09:00:00+01:00</example>
    public required DateTimeOffset ScheduledAt { get; init; }

    /// <summary>From when on nothing more is sent: those left are skipped with the reason `stopped`. After the start. Left out, the one set earlier stays; `null` takes it away.</summary>
    public Optional<DateTimeOffset?> StopAt { get; init; }

    public sealed class Validator : AbstractValidator<ScheduleCampaign>
    {
        public Validator(TimeProvider clock)
        {
            RuleFor(b => b.ScheduledAt).Must(at => at > clock.GetUtcNow()).WithMessage("must be in the future");
            RuleFor(b => b.StopAt.Value).After(b => b.ScheduledAt, clock).OverridePropertyName("stopAt");
        }
    }
}

/// <summary>Whom to try again.</summary>
public sealed class RetryFailed
{
    /// <summary>Any of `failed`, `skipped` and `uncertain`; only `failed` when left out. Trying `uncertain` may deliver twice.</summary>
    public IReadOnlyList<RetryKind>? Include { get; init; }

    public sealed class Validator : AbstractValidator<RetryFailed>
    {
        public Validator() => RuleFor(b => b.Include).Must(i => i is not { Count: 0 }).WithMessage("must name at least one; leave it out for failed");
    }
}

/// <summary>What can be tried again.</summary>
public enum RetryKind
{
    /// <summary>Refused for good, or set aside.</summary>
    Failed = MessageStatus.Failed,

    /// <summary>Left out, because it was stopped for instance.</summary>
    Skipped = MessageStatus.Skipped,

    /// <summary>May have been handed over.</summary>
    Uncertain = MessageStatus.Uncertain,
}

internal static class TimeRules
{
    public static void InFuture<T>(this IRuleBuilder<T, DateTimeOffset?> rule, TimeProvider clock) =>
        rule.Must(at => at is null || at > clock.GetUtcNow()).WithMessage("must be in the future");

    public static IRuleBuilderOptions<T, double?> Rate<T>(this IRuleBuilder<T, double?> rule) =>
        rule.Must(rate => WebhookChannelSettings.FaultInRate(rate) is null).WithMessage((_, rate) => WebhookChannelSettings.FaultInRate(rate)!);

    public static IRuleBuilderOptions<T, DateTimeOffset?> After<T>(this IRuleBuilder<T, DateTimeOffset?> rule, Func<T, DateTimeOffset?> start, TimeProvider clock) =>
        rule.Must((body, stop) => stop is null || (stop > clock.GetUtcNow() && (start(body) is not { } at || stop > at))).WithMessage("must be in the future and after the start");
}
