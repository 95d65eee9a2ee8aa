using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Templates;

/// <summary>One state of a template's content. Immutable once approved: what was sent can always be rendered again.</summary>
public sealed class TemplateVersion
{
    private TemplateVersion() { }

    public string TemplateId { get; private set; } = "";

    public int Version { get; private set; }

    public int AppNo { get; private set; }

    public TemplateContent Content { get; private set; } = null!;

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset? ApprovedAt { get; private set; }

    internal static TemplateVersion Create(Template template, int version, TemplateContent content, DateTimeOffset now) =>
        new() { TemplateId = template.Id, AppNo = template.AppNo, Version = version, Content = content, CreatedAt = now };

    internal void Replace(TemplateContent content)
    {
        if (ApprovedAt is not null) throw new InvalidOperationException($"Version {Version} of template {TemplateId} is approved and immutable.");
        Content = content;
    }

    internal void Approve(DateTimeOffset now) => ApprovedAt ??= now;

    private sealed class Configuration : IEntityTypeConfiguration<TemplateVersion>
    {
        public void Configure(EntityTypeBuilder<TemplateVersion> builder)
        {
            builder.HasKey(v => new { v.TemplateId, v.Version });
            // Kept as text: jsonb would put the author's members in another order.
            builder.Property(v => v.Content).HasColumnType("json").HasJsonConversion();
        }
    }
}
