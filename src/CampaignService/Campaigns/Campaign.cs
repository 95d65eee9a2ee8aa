using CampaignService.Common;
using CampaignService.Delivery;
using CampaignService.Templates;
using CampaignService.Tenancy;
using CampaignService.Webhooks;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Campaigns;

/// <summary>A template version sent to an audience at a time. Its recipients and what became of them are its batch's.</summary>
public sealed class Campaign
{
    private Campaign() { }

    public string Id { get; private set; } = "";

    public int AppNo { get; private set; }

    public string Name { get; private set; } = "";

    public string? Description { get; private set; }

    public CampaignStatus Status { get; private set; }

    public DeliveryMode DeliveryMode { get; private set; }

    public string? Tag { get; private set; }

    public string? SenderId { get; private set; }

    /// <summary>The slug of the template; which version of it is sent is pinned on the batch.</summary>
    public string TemplateSlug { get; private set; } = "";

    public long BatchId { get; private set; }

    public Batch Batch { get; private set; } = null!;

    /// <summary>When it starts by itself; stays when it did, and is empty when it was sent by hand.</summary>
    public DateTimeOffset? ScheduledAt { get; private set; }

    /// <summary>The offset from UTC in which that time was given, such as <c>+05:30</c>.</summary>
    public string? ScheduleZone { get; private set; }

    /// <summary>From when on nothing more is sent.</summary>
    public DateTimeOffset? StopAt { get; private set; }

    public DateTimeOffset? PausedAt { get; private set; }

    /// <summary>Why the service itself paused it; see <see cref="StatusReasons"/>.</summary>
    public string? StatusReason { get; private set; }

    public DateTimeOffset? StartedAt { get; private set; }

    public DateTimeOffset? CompletedAt { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public static Campaign Create(
        CampaignDetails details, Template template, TemplateVersion version, IReadOnlyDictionary<string, string> variables, DateTimeOffset now)
    {
        var id = Ids.New(Ids.Campaign, now);
        return new Campaign
        {
            Id = id,
            AppNo = template.AppNo,
            Status = CampaignStatus.Draft,
            TemplateSlug = template.TemplateId,
            Batch = Batch.Create(BatchKind.Campaign, id, version, variables),
            CreatedAt = now,
        }.With(details, now);
    }

    /// <summary>A new draft with the same template version, variables and audience; the caller copies the recipients' rows.</summary>
    public Campaign Duplicate(TemplateVersion version, DateTimeOffset now)
    {
        var id = Ids.New(Ids.Campaign, now);
        var copy = new Campaign
        {
            Id = id,
            AppNo = AppNo,
            Status = CampaignStatus.Draft,
            TemplateSlug = TemplateSlug,
            Batch = Batch.Create(BatchKind.Campaign, id, version, Batch.Variables),
            CreatedAt = now,
        }.With(new CampaignDetails(Name, Description, DeliveryMode, Tag, SenderId), now);
        copy.Batch.CopyAudience(Batch);
        return copy;
    }

    public void Edit(CampaignDetails details, DateTimeOffset now)
    {
        RequireDraft("changed");
        With(details, now);
    }

    public void ChangeContent(Template template, TemplateVersion version, IReadOnlyDictionary<string, string> variables)
    {
        RequireDraft("changed");
        TemplateSlug = template.TemplateId;
        Batch.ChangeContent(version, variables);
    }

    /// <summary>Deletion, and everything that adds recipients, is for drafts only.</summary>
    public void RequireDraft(string verb) => Require(verb, CampaignStatus.Draft);

    /// <summary>draft | scheduled -> scheduled. The caller sets the clock in the same transaction.</summary>
    /// <param name="at">When it starts, in the offset it was given in.</param>
    /// <param name="stopAt">When it stops; left out, it stays what it was.</param>
    /// <param name="now">The database's time.</param>
    public void Schedule(DateTimeOffset at, Optional<DateTimeOffset?> stopAt, DateTimeOffset now)
    {
        Require("scheduled", CampaignStatus.Draft, CampaignStatus.Scheduled);
        RequireAudience();
        SetStop(stopAt, start: at);
        (Status, ScheduledAt, ScheduleZone, UpdatedAt, Happened) = (CampaignStatus.Scheduled, at.ToUniversalTime(), ZoneOf(at), now, EventType.CampaignScheduled);
    }

    /// <summary>scheduled -> draft.</summary>
    public void Unschedule(DateTimeOffset now)
    {
        Require("unscheduled", CampaignStatus.Scheduled);
        (Status, ScheduledAt, ScheduleZone, UpdatedAt) = (CampaignStatus.Draft, null, null, now);
    }

    /// <summary>draft | scheduled -> sending, because somebody says so. The caller cuts the batch into chunks in the same transaction.</summary>
    public void SendNow(Optional<DateTimeOffset?> stopAt, DateTimeOffset now)
    {
        Require("sent", CampaignStatus.Draft, CampaignStatus.Scheduled);
        SetStop(stopAt, start: now);
        (ScheduledAt, ScheduleZone) = (null, null);
        Launch(now);
    }

    /// <summary>scheduled -> sending, because its time has come. The caller cuts the batch into chunks in the same transaction.</summary>
    public void StartOnTime(DateTimeOffset now)
    {
        Require("started", CampaignStatus.Scheduled);
        Launch(now);
    }

    /// <summary>scheduled | sending -> paused, by the service itself; the caller holds the chunks in the same transaction.</summary>
    public void Hold(string reason, DateTimeOffset now, HoldReason? batchReason = null)
    {
        Require("held", CampaignStatus.Scheduled, CampaignStatus.Sending);
        if (Status == CampaignStatus.Sending) Batch.Pause(batchReason);
        (Status, StatusReason, PausedAt, UpdatedAt, Happened) = (CampaignStatus.Paused, reason, now, now, EventType.CampaignPaused);
    }

    /// <summary>Changes how many messages a second go to its external channels, also while they go.</summary>
    public void Limit(double? perSecond, DateTimeOffset now)
    {
        Require("limited", CampaignStatus.Draft, CampaignStatus.Scheduled, CampaignStatus.Sending, CampaignStatus.Paused);
        Batch.LimitTo(perSecond);
        UpdatedAt = now;
    }

    /// <summary>sending -> paused. The caller holds the chunks in the same transaction.</summary>
    public void Pause(DateTimeOffset now)
    {
        Require("paused", CampaignStatus.Sending);
        Batch.Pause();
        (Status, PausedAt, UpdatedAt, Happened) = (CampaignStatus.Paused, now, now, EventType.CampaignPaused);
    }

    /// <summary>paused -> sending. The caller releases the chunks in the same transaction, or cuts them if it never started.</summary>
    public void Resume(DateTimeOffset now)
    {
        Require("resumed", CampaignStatus.Paused);
        if (StopAt <= now) throw new ApiException(Errors.StopTimePassed());
        (StatusReason, PausedAt) = (null, null);
        if (!IsCut)
        {
            Launch(now);
            return;
        }
        Batch.Resume(now);
        (Status, UpdatedAt, Happened) = (CampaignStatus.Sending, now, EventType.CampaignResumed);
    }

    /// <summary>sending | paused -> stopped. The caller closes the chunks in the same transaction; <see cref="Finish"/> follows when nothing is pending.</summary>
    public void Stop(DateTimeOffset now)
    {
        Require("stopped", CampaignStatus.Sending, CampaignStatus.Paused);
        Batch.Stop();
        (Status, StatusReason, PausedAt, UpdatedAt) = (CampaignStatus.Stopped, null, null, now);
    }

    /// <summary>completed | partially_failed | failed | stopped -> sending, for those who were not served. The caller reopens their chunks.</summary>
    public void RetryFailed(DateTimeOffset now)
    {
        Require("retried", CampaignStatus.Completed, CampaignStatus.PartiallyFailed, CampaignStatus.Failed, CampaignStatus.Stopped);
        if (CompletedAt is null) throw new ApiException(Errors.Conflict("The campaign is still stopping. Try again when its completedAt is set."));
        // A limit that has passed would stop the retry before its first message.
        if (StopAt <= now) StopBy(null);
        Batch.Reopen(now);
        (Status, CompletedAt, UpdatedAt, Happened) = (CampaignStatus.Sending, null, now, EventType.CampaignResumed);
    }

    /// <summary>draft | scheduled | paused before the first message -> cancelled.</summary>
    /// <param name="sentAny">Whether anything became of any message yet.</param>
    /// <param name="now">The database's time.</param>
    public void Cancel(bool sentAny, DateTimeOffset now)
    {
        Require("cancelled", CampaignStatus.Draft, CampaignStatus.Scheduled, CampaignStatus.Paused);
        if (sentAny) throw new ApiException(Errors.CancelAfterFirstMessage());
        Batch.Cancel();
        (Status, StatusReason, PausedAt, UpdatedAt, Happened) = (CampaignStatus.Cancelled, null, null, now, EventType.CampaignCancelled);
    }

    /// <summary>sending -> its outcome, when nothing is pending; what was stopped stays stopped.</summary>
    public void Finish(CampaignStatus outcome, DateTimeOffset now)
    {
        Require("finished", CampaignStatus.Sending, CampaignStatus.Stopped);
        if (Status == CampaignStatus.Sending) Status = outcome;
        (CompletedAt, UpdatedAt) = (now, now);
        Happened = Status switch { CampaignStatus.Stopped => EventType.CampaignStopped, CampaignStatus.Failed => EventType.CampaignFailed, _ => EventType.CampaignCompleted };
    }

    /// <summary>What the last verb made of it, to be told with the change that it makes (<see cref="CampaignEvents"/>). Of a stop it is told when nothing is under way any more.</summary>
    public EventType? Happened { get; private set; }

    /// <summary>Whether its audience was cut into chunks: it was sending at some time.</summary>
    public bool IsCut => Batch.State != BatchState.Draft;

    /// <summary>What sending takes of the audience.</summary>
    public void RequireAudience()
    {
        if (Batch.Total == 0) throw new ApiException(Errors.NoRecipients());
        if (DeliveryMode == DeliveryMode.Realtime && Batch.Total > MaxRealtime)
        {
            throw new ApiException(Errors.BadRequest($"deliveryMode: realtime is for at most {MaxRealtime} recipients, this campaign has {Batch.Total:N0}; set deliveryMode to batch"));
        }
    }

    /// <summary>The most recipients of a campaign that goes ahead of bulk.</summary>
    public const int MaxRealtime = 10;

    private void Launch(DateTimeOffset now)
    {
        RequireAudience();
        Batch.Start(now);
        // Scheduled by a process of the version before, its batch knows nothing of it.
        StopBy(StopAt);
        (Status, StartedAt, UpdatedAt, Happened) = (CampaignStatus.Sending, now, now, EventType.CampaignStarted);
    }

    private void SetStop(Optional<DateTimeOffset?> stopAt, DateTimeOffset start)
    {
        StopBy(stopAt.Or(StopAt)?.ToUniversalTime());
        if (StopAt <= start) throw new ApiException(Errors.BadRequest($"stopAt: must be after the start; the campaign has {TimeConverter.Format(StopAt.Value)}"));
    }

    /// <summary>Also on the batch, for those who deliver and know no campaign.</summary>
    private void StopBy(DateTimeOffset? at)
    {
        StopAt = at;
        Batch.StopBy(at);
    }

    private static string ZoneOf(DateTimeOffset at) =>
        at.Offset == TimeSpan.Zero ? "Z" : (at.Offset < TimeSpan.Zero ? "-" : "+") + at.Offset.ToString(@"hh\:mm", System.Globalization.CultureInfo.InvariantCulture);

    private Campaign With(CampaignDetails details, DateTimeOffset now)
    {
        (Name, Description, DeliveryMode, Tag, SenderId) = details;
        UpdatedAt = now;
        return this;
    }

    private void Require(string verb, params CampaignStatus[] allowed)
    {
        if (!allowed.Contains(Status)) throw new ApiException(Errors.InvalidState("campaign", Status.Wire(), verb, [.. allowed.Select(s => s.Wire())]));
    }

    private sealed class Configuration : IEntityTypeConfiguration<Campaign>
    {
        public void Configure(EntityTypeBuilder<Campaign> builder)
        {
            builder.HasKey(c => c.Id);
            // Every UPDATE names the status it started from: of two verbs at once, one finds no row.
            builder.Property(c => c.Status).HasConversion<short>().IsConcurrencyToken();
            builder.Ignore(c => c.Happened);
            builder.Property(c => c.DeliveryMode).HasConversion<short>();
            builder.HasIndex(c => new { c.AppNo, c.Id });
            builder.HasIndex(c => c.ScheduledAt).HasFilter($"status = {(short)CampaignStatus.Scheduled}");
            builder.HasIndex(c => c.StopAt).HasFilter($"stop_at IS NOT NULL AND status = {(short)CampaignStatus.Sending}");
            builder.HasOne(c => c.Batch).WithOne().HasForeignKey<Campaign>(c => c.BatchId).OnDelete(DeleteBehavior.Restrict);
            builder.HasOne<App>().WithMany().HasForeignKey(c => c.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>What a draft's owner may change at any time.</summary>
public sealed record CampaignDetails(string Name, string? Description, DeliveryMode DeliveryMode, string? Tag, string? SenderId);
