using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
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

    /// <summary>Nothing for in-app.</summary>
    public ChannelSettings? Settings { get; private set; }

    /// <summary>When its URL was last changed: what another server said of people does not count any more.</summary>
    public DateTimeOffset? ServerSince { get; private set; }

    /// <summary>The <see cref="ChannelSecrets"/>, sealed.</summary>
    public byte[]? Sealed { get; private set; }

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

    /// <summary>Changes the settings of an external channel.</summary>
    /// <param name="given">Without fault in itself.</param>
    /// <param name="box">Keeps its secrets.</param>
    /// <param name="now">The database's time.</param>
    /// <exception cref="ApiException">400: it takes no settings, lacks a URL, or its credentials would go to another server.</exception>
    public void Configure(WebhookChannelSettings given, SecretBox box, DateTimeOffset now)
    {
        if (Type != ChannelType.Webhook) throw new ApiException(Errors.BadRequest("settings: an in_app channel takes none"));
        if (given.Url is null && Settings is null) throw new ApiException(Errors.BadRequest("settings.url: is required"));
        var secrets = Secrets(box);
        // Who may change the URL may not read the credentials by leading them to a server of their own.
        if (given.Url is not null && Settings is not null && !given.Headers.IsGiven && secrets.Headers.Count > 0 && OriginOf(given.Url) != OriginOf(Settings.Url))
        {
            throw new ApiException(Errors.BadRequest("settings.headers: the url leads to another server; send the headers anew, or null, so that credentials go nowhere by mistake"));
        }
        secrets = new ChannelSecrets(given.Headers.IsGiven ? given.Headers.Value ?? [] : secrets.Headers, given.Secret.Or(secrets.SigningSecret));
        if (Settings is not null && given.Url is not null && given.Url != Settings.Url) ServerSince = now;
        Settings = given.Over(Settings, secrets);
        Sealed = secrets.IsEmpty ? null : box.Seal(JsonSerializer.Serialize(secrets), Id);
        UpdatedAt = now;
    }

    public ChannelSecrets Secrets(SecretBox box) => Sealed is null ? ChannelSecrets.None : JsonSerializer.Deserialize<ChannelSecrets>(box.Open(Sealed, Id))!;

    private static string OriginOf(string url) => new Uri(url).GetLeftPart(UriPartial.Authority);

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
            builder.Property(c => c.Settings).HasColumnType("jsonb").HasJsonConversion();
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
