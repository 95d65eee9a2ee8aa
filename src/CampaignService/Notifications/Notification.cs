using CampaignService.Common;
using CampaignService.Delivery;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Notifications;

/// <summary>
/// One direct send. To few receivers it is this row and the feed rows, written together in the request; to more it has a batch with the
/// same id, and is what that came to.
/// </summary>
public sealed class Notification
{
    private Notification() { }

    public int AppNo { get; private set; }

    /// <summary>From the space of ids that batches and feed items share: feed items name it as their source.</summary>
    public long Id { get; private set; }

    public NotificationMode Mode { get; private set; }

    public NotificationStatus Status { get; private set; }

    public string TemplateId { get; private set; } = "";

    public int TemplateVersion { get; private set; }

    public string TemplateSlug { get; private set; } = "";

    public string? Tag { get; private set; }

    /// <summary>How many different people.</summary>
    public int Receivers { get; private set; }

    /// <summary>How often one was named again.</summary>
    public int Duplicates { get; private set; }

    /// <summary>The people, when they are few; else they are the batch's recipients.</summary>
    public string[] UserIds { get; private set; } = [];

    /// <summary>For each of them the values, by the places of the variables in the template's schema, as the literal of a <c>text[]</c>.</summary>
    public string[] UserVars { get; private set; } = [];

    /// <summary>The channels it went to; those of the template that are not among them were disabled.</summary>
    public int[] ChannelNos { get; private set; } = [];

    /// <summary>Why the service itself holds it.</summary>
    public string? StatusReason { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    /// <summary>When nothing was pending any more.</summary>
    public DateTimeOffset? CompletedAt { get; private set; }

    public string PublicId => Ids.FromNumber(Ids.Notification, Id);

    /// <summary>Whether its ledger is that of a batch with the same id: it went to many, or also to servers of others.</summary>
    public bool HasBatch => UserIds.Length == 0;

    /// <summary>One with the id of its batch.</summary>
    public static Notification Queue(Batch batch, NotificationMode mode, string templateSlug, string? tag, int receivers, int duplicates, DateTimeOffset now) => new()
    {
        AppNo = batch.AppNo,
        Id = batch.Id,
        Mode = mode,
        Status = NotificationStatus.Sending,
        TemplateId = batch.TemplateId,
        TemplateVersion = batch.TemplateVersion,
        TemplateSlug = templateSlug,
        Tag = tag,
        Receivers = receivers,
        Duplicates = duplicates,
        CreatedAt = now,
    };

    /// <summary>sending -> its outcome.</summary>
    public void Finish(BatchOutcome outcome, DateTimeOffset now)
    {
        // Stopped, it was so before its last message.
        if (Status == NotificationStatus.Sending) Status = NotificationStatus.Completed + (int)outcome;
        CompletedAt = now;
    }

    /// <summary>sending -> paused, because the service found it in a state in which nobody may want it any more.</summary>
    public void Hold(string reason)
    {
        Require("held", NotificationStatus.Sending);
        (Status, StatusReason) = (NotificationStatus.Paused, reason);
    }

    /// <summary>paused -> sending.</summary>
    public void Resume()
    {
        Require("resumed", NotificationStatus.Paused);
        (Status, StatusReason) = (NotificationStatus.Sending, null);
    }

    /// <summary>sending or paused -> stopped.</summary>
    public void Stop()
    {
        Require("stopped", NotificationStatus.Sending, NotificationStatus.Paused);
        (Status, StatusReason) = (NotificationStatus.Stopped, null);
    }

    private void Require(string verb, params NotificationStatus[] from)
    {
        if (!from.Contains(Status)) throw new ApiException(Errors.InvalidState("notification", Status.Wire(), verb, [.. from.Select(s => s.Wire())]));
    }

    private sealed class Configuration : IEntityTypeConfiguration<Notification>
    {
        public void Configure(EntityTypeBuilder<Notification> builder)
        {
            builder.HasKey(n => new { n.AppNo, n.Id });
            builder.Property(n => n.Id).ValueGeneratedNever();
            builder.Property(n => n.Mode).HasConversion<short>();
            builder.Property(n => n.Status).HasConversion<short>().IsConcurrencyToken();
            builder.Ignore(n => n.PublicId).Ignore(n => n.HasBatch);
            // For lists by status and by tag. Nearly all are completed, and found at once without one; a send that is, and has no tag, writes neither.
            builder.HasIndex(n => new { n.AppNo, n.Status, n.Id }).HasFilter($"status <> {(short)NotificationStatus.Completed}");
            builder.HasIndex(n => new { n.AppNo, n.Tag, n.Id }).HasFilter("tag IS NOT NULL");
            // No foreign keys: each would cost a lock and an index with every send, and apps and versions are never deleted.
        }
    }
}

/// <summary>How a direct notification travels.</summary>
public enum NotificationMode
{
    /// <summary>To at most 10 receivers: it is in the feed when the answer arrives.</summary>
    Realtime = 1,

    /// <summary>To more: queued, ahead of campaigns.</summary>
    Batch = 2,
}

/// <summary>Where a direct notification stands.</summary>
public enum NotificationStatus
{
    /// <summary>Messages are going out.</summary>
    Sending = 1,

    /// <summary>Everybody who should be served was.</summary>
    Completed = 2,

    /// <summary>Some were served, some not.</summary>
    PartiallyFailed = 3,

    /// <summary>Nobody was served.</summary>
    Failed = 4,

    /// <summary>Held by the service; see its `statusReason`.</summary>
    Paused = 5,

    /// <summary>Ended early; those left were skipped.</summary>
    Stopped = 6,
}

public static class NotificationStatusNames
{
    /// <summary>The status as it stands in JSON.</summary>
    public static string Wire(this NotificationStatus status) => System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(status.ToString());
}
