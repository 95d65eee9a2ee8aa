using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Templates;

/// <summary>What is sent: metadata that may change, and versions of the content that may not once they are approved.</summary>
public sealed class Template
{
    private readonly List<TemplateVersion> _versions = [];

    private Template() { }

    public string Id { get; private set; } = "";

    public int AppNo { get; private set; }

    /// <summary>The slug; unique in the app, never changed.</summary>
    public string TemplateId { get; private set; } = "";

    public string Name { get; private set; } = "";

    public string? Category { get; private set; }

    public string? Label { get; private set; }

    public string? AlternativeText { get; private set; }

    public string[] Tags { get; private set; } = [];

    public TemplateStatus Status { get; private set; }

    public int CurrentVersion { get; private set; }

    public int? ApprovedVersion { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public IReadOnlyList<TemplateVersion> Versions => _versions;

    /// <summary>The newest version. The caller has loaded it.</summary>
    public TemplateVersion Current => _versions.Single(v => v.Version == CurrentVersion);

    public static Template Create(int appNo, string slug, TemplateMetadata metadata, TemplateContent content, DateTimeOffset now)
    {
        var template = new Template { Id = Ids.New(Ids.Template, now), AppNo = appNo, TemplateId = slug, CreatedAt = now, Status = TemplateStatus.Draft };
        template.Edit(metadata, now);
        template.AddVersion(content, now);
        return template;
    }

    public void Edit(TemplateMetadata metadata, DateTimeOffset now)
    {
        RequireNotArchived("changed");
        (Name, Category, Label, AlternativeText, Tags) = (metadata.Name, metadata.Category, metadata.Label, metadata.AlternativeText, metadata.Tags);
        UpdatedAt = now;
    }

    /// <summary>A draft version takes the new content; an approved one stays as it is and gets a successor.</summary>
    public void ChangeContent(TemplateContent content, DateTimeOffset now)
    {
        RequireNotArchived("changed");
        if (content.Equals(Current.Content)) return;
        if (Current.ApprovedAt is null) Current.Replace(content);
        else AddVersion(content, now);
        UpdatedAt = now;
    }

    public void AddVersion(TemplateContent content, DateTimeOffset now)
    {
        RequireNotArchived("given a new version");
        CurrentVersion++;
        Status = TemplateStatus.Draft;
        UpdatedAt = now;
        _versions.Add(TemplateVersion.Create(this, CurrentVersion, content, now));
    }

    /// <summary>Approves the newest version. Safe to repeat.</summary>
    public void Approve(DateTimeOffset now)
    {
        RequireNotArchived("approved");
        if (Status == TemplateStatus.Approved) return;
        Current.Approve(now);
        ApprovedVersion = CurrentVersion;
        Status = TemplateStatus.Approved;
        UpdatedAt = now;
    }

    /// <summary>Hides the template and bars it from being sent; what was sent stays readable. Safe to repeat.</summary>
    public void Archive(DateTimeOffset now)
    {
        if (Status == TemplateStatus.Archived) return;
        Status = TemplateStatus.Archived;
        UpdatedAt = now;
    }

    /// <summary>An approved version stays approved: the next draft is made by changing its content, or as a new version.</summary>
    public void RequireDraft()
    {
        if (Status != TemplateStatus.Draft) throw new ApiException(Errors.InvalidState("template", "approved", "made a draft again", "draft"));
    }

    public void RequireNotArchived(string verb)
    {
        if (Status == TemplateStatus.Archived) throw new ApiException(Errors.InvalidState("template", "archived", verb, "draft", "approved"));
    }

    private sealed class Configuration : IEntityTypeConfiguration<Template>
    {
        public void Configure(EntityTypeBuilder<Template> builder)
        {
            builder.HasKey(t => t.Id);
            builder.HasIndex(t => new { t.AppNo, t.TemplateId }).IsUnique();
            builder.HasIndex(t => new { t.AppNo, t.Id });
            builder.Property(t => t.Status).HasConversion<short>().IsConcurrencyToken();
            // Two requests that change one template at once would both make "the next version": the second is refused.
            builder.Property(t => t.CurrentVersion).IsConcurrencyToken();
            // And a version is approved as the request that approves it saw it: a change to the draft in between is a lost race, too.
            builder.Property(t => t.UpdatedAt).IsConcurrencyToken();
            builder.HasOne<App>().WithMany().HasForeignKey(t => t.AppNo).OnDelete(DeleteBehavior.Restrict);
            // By name, so that a template shows its category without asking for it. A new name goes into the templates by the constraint itself.
            builder.HasOne<Category>().WithMany().HasForeignKey(t => new { t.AppNo, t.Category }).HasPrincipalKey(c => new { c.AppNo, c.Name }).OnDelete(DeleteBehavior.Restrict);
            builder.HasMany(t => t.Versions).WithOne().HasForeignKey(v => v.TemplateId).OnDelete(DeleteBehavior.Restrict);
            builder.Navigation(t => t.Versions).UsePropertyAccessMode(PropertyAccessMode.Field);
        }
    }
}

/// <summary>Where a template's newest version stands.</summary>
public enum TemplateStatus
{
    /// <summary>It can be changed and cannot be sent yet.</summary>
    Draft = 0,

    /// <summary>It can be sent and is changed by making the next version.</summary>
    Approved = 1,

    /// <summary>It is put away.</summary>
    Archived = 2,
}

/// <summary>What is said about a template beside its content.</summary>
public sealed record TemplateMetadata(string Name, string? Category, string? Label, string? AlternativeText, string[] Tags);
