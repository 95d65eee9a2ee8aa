using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Webhooks;

/// <summary>A server of the customer's that is told what happens.</summary>
public sealed class Webhook
{
    private Webhook() { }

    public string Id { get; private set; } = "";

    /// <summary>The short number by which deliveries and attempts name it; never given twice.</summary>
    public int No { get; private set; }

    public int AppNo { get; private set; }

    public string Url { get; private set; } = "";

    /// <summary>Patterns of the events it wants.</summary>
    public string[] Events { get; private set; } = [];

    public bool Enabled { get; private set; }

    /// <summary>Why the service itself disabled it.</summary>
    public DisabledReason? DisabledReason { get; private set; }

    public DateTimeOffset? DisabledAt { get; private set; }

    /// <summary>The first failure since it last took anything.</summary>
    public DateTimeOffset? FailingSince { get; private set; }

    /// <summary>The last one, to a minute.</summary>
    public DateTimeOffset? FailedAt { get; private set; }

    /// <summary>Sealed.</summary>
    public byte[] Secret { get; private set; } = [];

    /// <summary>The one before, sealed: it signs, too, until <see cref="OldSecretUntil"/>.</summary>
    public byte[]? OldSecret { get; private set; }

    public DateTimeOffset? OldSecretUntil { get; private set; }

    public DateTimeOffset CreatedAt { get; private set; }

    public DateTimeOffset UpdatedAt { get; private set; }

    public static Webhook Create(int appNo, string url, IEnumerable<string> events, bool enabled, string secret, SecretBox box, DateTimeOffset now)
    {
        var id = Ids.New(Ids.Webhook, now);
        return new Webhook
        {
            Id = id,
            AppNo = appNo,
            Url = url,
            Events = [.. events.Distinct()],
            Enabled = enabled,
            Secret = box.Seal(secret, id),
            CreatedAt = now,
            UpdatedAt = now,
        };
    }

    /// <summary>Null leaves a member as it is. Another address, and one that is enabled again, begin without a record of failures.</summary>
    public void Edit(string? url, IEnumerable<string>? events, bool? enabled, DateTimeOffset now)
    {
        if ((url ?? Url) != Url || enabled == true) (FailingSince, FailedAt) = (null, null);
        if (enabled is not null) (DisabledReason, DisabledAt) = (null, null);
        (Url, Events, Enabled, UpdatedAt) = (url ?? Url, events is null ? Events : [.. events.Distinct()], enabled ?? Enabled, now);
    }

    /// <summary>
    /// Signs with a new secret, and for some time with the old one beside it. That stays the one before all that were made since: who did not get
    /// the answer and asks again would otherwise lose the only secret that the receiver has.
    /// </summary>
    public void Rotate(string secret, TimeSpan keepOld, SecretBox box, DateTimeOffset now)
    {
        if (OldSecretUntil is null || OldSecretUntil <= now) OldSecret = Secret;
        OldSecretUntil = now + keepOld;
        (Secret, UpdatedAt) = (box.Seal(secret, Id), now);
    }

    /// <summary>By the service itself: nobody takes what it sends there.</summary>
    public void Disable(DisabledReason reason, DateTimeOffset now) => (Enabled, DisabledReason, DisabledAt, UpdatedAt) = (false, reason, now, now);

    /// <summary>What to sign with now, the newest first.</summary>
    public string[] Secrets(SecretBox box, DateTimeOffset now) =>
        OldSecret is not null && OldSecretUntil > now ? [box.Open(Secret, Id), box.Open(OldSecret, Id)] : [box.Open(Secret, Id)];

    private sealed class Configuration : IEntityTypeConfiguration<Webhook>
    {
        public void Configure(EntityTypeBuilder<Webhook> builder)
        {
            builder.HasKey(e => e.Id);
            builder.Property(e => e.No).UseIdentityAlwaysColumn();
            builder.HasIndex(e => e.No).IsUnique();
            builder.HasIndex(e => new { e.AppNo, e.Id });
            builder.Property(e => e.DisabledReason).HasConversion<short?>();
            // Two secrets made at once: one of them would sign nothing.
            builder.Property(e => e.UpdatedAt).IsConcurrencyToken();
            builder.HasOne<App>().WithMany().HasForeignKey(e => e.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>Why the service disabled a webhook.</summary>
public enum DisabledReason
{
    /// <summary>It took nothing for days, although it was tried all the time.</summary>
    Failing = 1,

    /// <summary>It answered 410: gone for good.</summary>
    Gone = 2,

    /// <summary>The database is a restored copy, and the original may go on calling it.</summary>
    Restored = 3,
}
