using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Templates;

/// <summary>What messages are filed under in the feed. Templates name it; whoever names one that is not there makes it.</summary>
public sealed class Category
{
    private Category() { }

    public string Id { get; private set; } = "";

    public int AppNo { get; private set; }

    /// <summary>The slug; unique in the app, never changed.</summary>
    public string CategoryId { get; private set; } = "";

    /// <summary>Unique in the app. To change it is one statement, which changes it in all templates, too.</summary>
    public string Name { get; private set; } = "";

    public string? Description { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public static Category Create(int appNo, string slug, string name, string? description, DateTimeOffset now) => new()
    {
        Id = Ids.New(Ids.Category, now),
        AppNo = appNo,
        CategoryId = slug,
        Name = name,
        Description = description,
        CreatedAt = now,
        UpdatedAt = now,
    };

    private sealed class Configuration : IEntityTypeConfiguration<Category>
    {
        public void Configure(EntityTypeBuilder<Category> builder)
        {
            builder.ToTable("categories");
            builder.HasKey(c => c.Id);
            builder.HasAlternateKey(c => new { c.AppNo, c.Name });
            builder.HasIndex(c => new { c.AppNo, c.CategoryId }).IsUnique();
            builder.HasIndex(c => new { c.AppNo, c.Id });
            builder.HasOne<App>().WithMany().HasForeignKey(c => c.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}
