using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using CampaignService.Common;
using FluentValidation;
using Microsoft.Extensions.Options;

namespace CampaignService.Webhooks;

/// <summary>A new webhook.</summary>
public sealed class CreateWebhook
{
    /// <summary>Where events are sent by POST: https or http, no longer than 2,048 characters, without a user name or password in it. Private, loopback and link-local addresses are refused, here and at every connection.</summary>
    /// <example>https://example.com/campaigns-events</example>
    public required string Url { get; init; }

    /// <summary>Which events: one to fifty names such as <c>campaign.completed</c>, groups such as <c>campaign.*</c>, or <c>*</c> for all.</summary>
    public required IReadOnlyList<string> Events { get; init; }

    /// <summary>What signs them: <c>whsec_</c> and the base64 of 24 to 64 random bytes; made when left out.</summary>
    public string? Secret { get; init; }

    /// <summary>Whether events are sent. What happens while they are not can be replayed.</summary>
    public bool Enabled { get; init; } = true;

    public sealed class Validator : AbstractValidator<CreateWebhook>
    {
        public Validator(IOptions<WebhookSettings> settings)
        {
            RuleFor(b => b.Url).MayBeCalled(settings.Value);
            RuleFor(b => b.Events).AreEvents();
            RuleFor(b => b.Secret).IsSecret();
        }
    }
}

/// <summary>A change to a webhook.</summary>
public sealed class EditWebhook
{
    /// <summary>Where events are sent from now on, those that wait to be sent again, too.</summary>
    public string? Url { get; init; }

    /// <summary>Which events: one to fifty names or patterns, in place of those before.</summary>
    public IReadOnlyList<string>? Events { get; init; }

    /// <summary>Whether events are sent. Disabling it drops what waits to be sent again; enabling it begins with what happens next, and what was missed can be replayed.</summary>
    public bool? Enabled { get; init; }

    public sealed class Validator : AbstractValidator<EditWebhook>
    {
        public Validator(IOptions<WebhookSettings> settings)
        {
            RuleFor(b => b.Url).MayBeCalled(settings.Value).When(b => b.Url is not null);
            RuleFor(b => b.Events).AreEvents().When(b => b.Events is not null);
        }
    }
}

/// <summary>A new secret for a webhook.</summary>
public sealed class RotateSecret
{
    /// <summary>The new one: <c>whsec_</c> and the base64 of 24 to 64 random bytes; made when left out.</summary>
    public string? Secret { get; init; }

    /// <summary>For so many hours, 0 to 168, events are signed with the old one, too: the header then holds two signatures, and a receiver takes whichever it can verify.</summary>
    public int KeepOldForHours { get; init; } = 24;

    public sealed class Validator : AbstractValidator<RotateSecret>
    {
        public Validator()
        {
            RuleFor(b => b.Secret).IsSecret();
            RuleFor(b => b.KeepOldForHours).InclusiveBetween(0, 168).WithMessage("must be a whole number from 0 to 168");
        }
    }
}

/// <summary>Which time to replay.</summary>
public sealed class ReplayEvents
{
    /// <summary>Events of this time or later.</summary>
    public required DateTimeOffset From { get; init; }

    /// <summary>Events of this time or earlier.</summary>
    public required DateTimeOffset To { get; init; }

    public sealed class Validator : AbstractValidator<ReplayEvents>
    {
        public Validator() => RuleFor(b => b.To).GreaterThanOrEqualTo(b => b.From).WithMessage("must not be before from");
    }
}

internal static class WebhookChecks
{
    private const int MaxEvents = 50;

    public static IRuleBuilderOptions<T, string?> MayBeCalled<T>(this IRuleBuilder<T, string?> rule, WebhookSettings settings) => rule
        .Must(url => OutboundAddress.FaultIn(url, settings.AllowPrivateNetworks) is null).WithMessage((_, url) => OutboundAddress.FaultIn(url, settings.AllowPrivateNetworks)!);

    public static IRuleBuilderOptions<T, IReadOnlyList<string>?> AreEvents<T>(this IRuleBuilder<T, IReadOnlyList<string>?> rule) => rule
        .Must(events => events is { Count: >= 1 and <= MaxEvents }).WithMessage($"must hold 1 to {MaxEvents} names or patterns")
        .Must(events => UnknownIn(events) is null).WithMessage((_, events) => $"'{UnknownIn(events)}' is no event; there are {EventTypes.Choices}");

    public static IRuleBuilderOptions<T, string?> IsSecret<T>(this IRuleBuilder<T, string?> rule) => rule
        .Must(secret => secret is null || WebhookSecret.IsValid(secret)).WithMessage(WebhookSecret.Expected);

    private static string? UnknownIn(IReadOnlyList<string>? events) => events?.Where(e => e is null || !EventTypes.IsPattern(e)).Select(e => e ?? "null").FirstOrDefault();
}

/// <summary>A webhook.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Url">Where events are sent.</param>
/// <param name="Events">Which ones.</param>
/// <param name="Enabled">Whether they are sent.</param>
/// <param name="DisabledReason">Why the service itself disabled it, if it did.</param>
/// <param name="DisabledAt">When it did.</param>
/// <param name="FailingSince">When the first delivery failed since it last took one.</param>
/// <param name="OldSecretUntil">Until when events are signed with an older secret, too.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it was last changed.</param>
/// <param name="Secret">What signs its events. It is there in the answer that made it, this once.</param>
public sealed record WebhookView(
    string Id, string Url, IReadOnlyList<string> Events, bool Enabled, DisabledReason? DisabledReason, DateTimeOffset? DisabledAt, DateTimeOffset? FailingSince,
    DateTimeOffset? OldSecretUntil, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Secret = null)
{
    public static WebhookView Of(Webhook e, string? secret = null) =>
        new(e.Id, e.Url, e.Events, e.Enabled, e.DisabledReason, e.DisabledAt, e.FailingSince, e.OldSecretUntil, e.CreatedAt, e.UpdatedAt, secret);
}

/// <summary>An attempt to deliver an event.</summary>
/// <param name="Id">Its id.</param>
/// <param name="EventId">The event: the header <c>webhook-id</c>.</param>
/// <param name="Type">What had happened.</param>
/// <param name="Attempt">Which one it was, from 1.</param>
/// <param name="Succeeded">Whether the receiver answered 2xx.</param>
/// <param name="StatusCode">The status it answered with; null when it did not answer.</param>
/// <param name="Error">What was wrong, in words.</param>
/// <param name="Answer">The beginning of what it answered, at most 1 KiB.</param>
/// <param name="DurationMs">How long it took, in milliseconds.</param>
/// <param name="At">When it began.</param>
/// <param name="NextAttemptAt">When it is tried again; null after a success, and when that was the last.</param>
public sealed record AttemptView(
    string Id, string EventId, string Type, int Attempt, bool Succeeded, int? StatusCode, string? Error, string? Answer, int DurationMs, DateTimeOffset At, DateTimeOffset? NextAttemptAt);

/// <summary>What a replay has put in line.</summary>
/// <param name="Queued">Events that are sent again, with the ids they had.</param>
/// <param name="Next">There were more than 100,000: call again with this as <c>from</c>. Null when that was all.</param>
public sealed record ReplayedView(int Queued, DateTimeOffset? Next);

/// <summary>Something that happened.</summary>
/// <param name="Id">Its id: to webhooks it comes with this each time it is sent.</param>
/// <param name="Type">What happened, such as <c>campaign.completed</c>.</param>
/// <param name="Timestamp">When.</param>
/// <param name="Data">The object as it was then, with its status and totals; null when it is gone.</param>
public sealed record EventView(string Id, string Type, DateTimeOffset Timestamp, RawJson Data);

/// <summary>How the log is read.</summary>
public sealed class EventQuery
{
    /// <summary>Events in an answer, 1 to 100.</summary>
    /// <example>20</example>
    [Range(1, 100, ErrorMessage = "must be a whole number from 1 to 100")]
    public int Limit { get; init; } = 20;

    /// <summary>The <c>next</c> of the answer before; left out to begin with the oldest event kept.</summary>
    public string? After { get; init; }
}
