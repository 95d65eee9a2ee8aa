using CampaignService.Common;
using CampaignService.Delivery;
using CampaignService.Templates;
using CampaignService.Tenancy;
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
    public void RequireDraft(string verb)
    {
        if (Status != CampaignStatus.Draft) throw Illegal(verb, CampaignStatus.Draft);
    }

    /// <summary>draft -> sending. The caller cuts the batch into chunks in the same transaction.</summary>
    public void Launch(DateTimeOffset now)
    {
        RequireDraft("sent");
        if (Batch.Total == 0) throw new ApiException(Errors.NoRecipients());
        if (DeliveryMode == DeliveryMode.Realtime && Batch.Total > MaxRealtime)
        {
            throw new ApiException(Errors.BadRequest($"deliveryMode: realtime is for at most {MaxRealtime} recipients, this campaign has {Batch.Total:N0}; set deliveryMode to batch"));
        }
        Batch.Start();
        (Status, StartedAt, UpdatedAt) = (CampaignStatus.Sending, now, now);
    }

    /// <summary>draft -> cancelled.</summary>
    public void Cancel(DateTimeOffset now)
    {
        if (Status != CampaignStatus.Draft) throw Illegal("cancelled", CampaignStatus.Draft);
        Batch.Cancel();
        (Status, UpdatedAt) = (CampaignStatus.Cancelled, now);
    }

    /// <summary>sending -> its outcome, when nothing is pending.</summary>
    public void Finish(CampaignStatus outcome, DateTimeOffset now)
    {
        if (Status != CampaignStatus.Sending) throw Illegal("finished", CampaignStatus.Sending);
        (Status, CompletedAt, UpdatedAt) = (outcome, now, now);
    }

    /// <summary>The most recipients of a campaign that goes ahead of bulk.</summary>
    public const int MaxRealtime = 10;

    private Campaign With(CampaignDetails details, DateTimeOffset now)
    {
        (Name, Description, DeliveryMode, Tag, SenderId) = details;
        UpdatedAt = now;
        return this;
    }

    private ApiException Illegal(string verb, params CampaignStatus[] allowed) =>
        new(Errors.InvalidState("campaign", Status.Wire(), verb, [.. allowed.Select(s => s.Wire())]));

    private sealed class Configuration : IEntityTypeConfiguration<Campaign>
    {
        public void Configure(EntityTypeBuilder<Campaign> builder)
        {
            builder.HasKey(c => c.Id);
            // Every UPDATE names the status it started from: of two verbs at once, one finds no row.
            builder.Property(c => c.Status).HasConversion<short>().IsConcurrencyToken();
            builder.Property(c => c.DeliveryMode).HasConversion<short>();
            builder.HasIndex(c => new { c.AppNo, c.Id });
            builder.HasOne(c => c.Batch).WithOne().HasForeignKey<Campaign>(c => c.BatchId).OnDelete(DeleteBehavior.Restrict);
            builder.HasOne<App>().WithMany().HasForeignKey(c => c.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>What a draft's owner may change at any time.</summary>
public sealed record CampaignDetails(string Name, string? Description, DeliveryMode DeliveryMode, string? Tag, string? SenderId);
