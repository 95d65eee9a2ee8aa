using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Users;

/// <summary>What an app says of a person. Sending needs none of it: a feed, a token or a device is there for an id without a profile, too.</summary>
public sealed class AppUser
{
    private AppUser() { }

    public int AppNo { get; private set; }

    /// <summary>The app's own id of the person.</summary>
    public string Id { get; private set; } = "";

    public string? Name { get; private set; }

    public string? Role { get; private set; }

    public string? Email { get; private set; }

    public string? Phone { get; private set; }

    public string? Language { get; private set; }

    public string? Timezone { get; private set; }

    public string? Avatar { get; private set; }

    /// <summary>A JSON object of the app's own.</summary>
    public string? Attributes { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    /// <summary>The last call to the feed, to some 20 s; <see cref="UserPresence"/> keeps it.</summary>
    public DateTimeOffset? LastSeenAt { get; private set; }

    /// <summary>Changes the members given; <see cref="UserUpsert"/> makes profiles.</summary>
    public void Edit(UserProfile given, DateTimeOffset now)
    {
        Name = Changed(given.Name, Name);
        Role = Changed(given.Role, Role);
        Email = Changed(given.Email, Email);
        Phone = Changed(given.Phone, Phone);
        Language = Changed(given.Language, Language);
        Timezone = Changed(given.Timezone, Timezone);
        Avatar = Changed(given.Avatar, Avatar);
        if (given.Attributes.IsGiven) Attributes = given.Attributes.Value?.GetRawText();
        UpdatedAt = now;
    }

    private static string? Changed(Optional<string?> given, string? unchanged) => given.IsGiven ? given.Value?.Trim() : unchanged;

    private sealed class Configuration : IEntityTypeConfiguration<AppUser>
    {
        public void Configure(EntityTypeBuilder<AppUser> builder)
        {
            builder.HasKey(u => new { u.AppNo, u.Id });
            // Lists go by the key, in the order of the bytes.
            builder.Property(u => u.Id).UseCollation("C");
            builder.Property(u => u.Attributes).HasColumnType("jsonb");
            builder.HasIndex(u => new { u.AppNo, u.Role, u.Id }).HasFilter("role IS NOT NULL");
            builder.HasOne<App>().WithMany().HasForeignKey(u => u.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>Where push messages to a person go.</summary>
public sealed class Device
{
    private Device() { }

    public int AppNo { get; private set; }

    public string UserId { get; private set; } = "";

    public string DeviceId { get; private set; } = "";

    public DevicePlatform Platform { get; private set; }

    public string? Name { get; private set; }

    /// <summary>What the platform's push service knows the app on this device by. Whoever has it can send to it, so it is never given out.</summary>
    public string Token { get; private set; } = "";

    /// <summary>Its SHA-256: tokens are too long for an index.</summary>
    public byte[] TokenHash { get; private set; } = [];

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public static Device Create(Person owner, string deviceId, DateTimeOffset now) => new() { AppNo = owner.AppNo, UserId = owner.UserId, DeviceId = deviceId, CreatedAt = now };

    public static byte[] HashOf(string token) => System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(token));

    public void Register(DevicePlatform platform, string token, string? name, DateTimeOffset now)
    {
        (Platform, Token, TokenHash, Name, UpdatedAt) = (platform, token, HashOf(token), name ?? Name, now);
    }

    private sealed class Configuration : IEntityTypeConfiguration<Device>
    {
        public void Configure(EntityTypeBuilder<Device> builder)
        {
            builder.HasKey(d => new { d.AppNo, d.UserId, d.DeviceId });
            builder.Property(d => d.UserId).UseCollation("C");
            builder.Property(d => d.DeviceId).UseCollation("C");
            builder.Property(d => d.Platform).HasConversion<short>();
            // One device has one owner: two people must not get each other's messages because they share a telephone.
            builder.HasIndex(d => new { d.AppNo, d.TokenHash }).IsUnique();
            builder.HasOne<App>().WithMany().HasForeignKey(d => d.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>Whose push service a device uses.</summary>
public enum DevicePlatform
{
    /// <summary>Apple's.</summary>
    Ios = 1,

    /// <summary>Google's.</summary>
    Android = 2,

    /// <summary>That of a browser.</summary>
    Web = 3,
}

/// <summary>From when on tokens of an erased person are taken again; the id is not in it, only a keyed hash.</summary>
public sealed class TokenCut
{
    private TokenCut() { }

    public int AppNo { get; private set; }

    public byte[] UserHash { get; private set; } = [];

    public DateTimeOffset NotBefore { get; private set; }

    private sealed class Configuration : IEntityTypeConfiguration<TokenCut>
    {
        public void Configure(EntityTypeBuilder<TokenCut> builder)
        {
            builder.ToTable("token_cuts");
            builder.HasKey(c => new { c.AppNo, c.UserHash });
            builder.HasIndex(c => c.NotBefore);
        }
    }
}
