using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Tenancy;

/// <summary>A tenant. Everything belongs to one app, and nothing of one is visible to another.</summary>
public sealed class App
{
    private App() { }

    /// <summary>The short number that stands in every row of the app.</summary>
    public int No { get; private set; }

    public string Id { get; private set; } = "";

    public string Name { get; private set; } = "";

    public DateTimeOffset CreatedAt { get; private set; }

    public static App Create(string id, string name, DateTimeOffset now) => new() { Id = id, Name = name.Trim(), CreatedAt = now };

    private sealed class Configuration : IEntityTypeConfiguration<App>
    {
        public void Configure(EntityTypeBuilder<App> builder)
        {
            builder.HasKey(a => a.No);
            builder.Property(a => a.No).UseIdentityAlwaysColumn();
            builder.Property(a => a.Id).IsRequired();
            builder.HasIndex(a => a.Id).IsUnique();
        }
    }
}
