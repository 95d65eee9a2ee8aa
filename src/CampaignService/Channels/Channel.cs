using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Channels;

/// <summary>A way by which messages reach people. An app has as many as it likes.</summary>
public sealed class Channel
{
    private Channel() { }

    public string Id { get; private set; } = "";

    /// <summary>The short number by which chunks and feed items name the channel.</summary>
    public int No { get; private set; }

    public int AppNo { get; private set; }

    /// <summary>The slug; unique in the app, never changed.</summary>
    public string ChannelId { get; private set; } = "";

    public string Name { get; private set; } = "";

    public ChannelType Type { get; private set; }

    public bool Enabled { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public static Channel Create(int appNo, string name, ChannelType type, string? slug, bool enabled, DateTimeOffset now) => new()
    {
        Id = Ids.New(Ids.Channel, now),
        AppNo = appNo,
        ChannelId = slug ?? "cc-notification-channel-" + Text.Slug(name),
        Name = name.Trim(),
        Type = type,
        Enabled = enabled,
        CreatedAt = now,
        UpdatedAt = now,
    };

    public void Edit(string? name, bool? enabled, DateTimeOffset now)
    {
        Name = name?.Trim() ?? Name;
        Enabled = enabled ?? Enabled;
        UpdatedAt = now;
    }

    private sealed class Configuration : IEntityTypeConfiguration<Channel>
    {
        public void Configure(EntityTypeBuilder<Channel> builder)
        {
            builder.HasKey(c => c.Id);
            builder.Property(c => c.No).UseIdentityAlwaysColumn();
            builder.HasIndex(c => c.No).IsUnique();
            builder.HasIndex(c => new { c.AppNo, c.ChannelId }).IsUnique();
            builder.HasIndex(c => new { c.AppNo, c.Id });
            builder.Property(c => c.Type).HasConversion<short>();
            builder.HasOne<App>().WithMany().HasForeignKey(c => c.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>What a channel hands messages to.</summary>
public enum ChannelType
{
    /// <summary>The feed that this service keeps for every user.</summary>
    InApp = 1,

    /// <summary>Mobile and web push.</summary>
    Push = 2,

    /// <summary>Mail.</summary>
    Email = 3,

    /// <summary>A POST to a server of yours.</summary>
    Webhook = 4,
}
