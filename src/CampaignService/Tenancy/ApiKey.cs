using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using CampaignService.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Tenancy;

/// <summary>What a backend shows to be let in. Only the SHA-256 of the key is stored; keys are random, so nothing slower is needed.</summary>
public sealed class ApiKey
{
    private ApiKey() { }

    public string Id { get; private set; } = "";

    public int AppNo { get; private set; }

    public string Name { get; private set; } = "";

    public string[] Scopes { get; private set; } = [];

    public byte[] Hash { get; private set; } = [];

    public DateTimeOffset CreatedAt { get; private set; }

    public static (ApiKey Row, string Key) Create(App app, string name, IEnumerable<string> scopes, DateTimeOffset now)
    {
        var key = "ck_" + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        return (Of(app, name, scopes, key, now), key);
    }

    /// <summary>A key chosen by whoever runs the service (<c>Bootstrap__ApiKey</c>).</summary>
    public static ApiKey Of(App app, string name, IEnumerable<string> scopes, string key, DateTimeOffset now) => new()
    {
        Id = Ids.New(Ids.ApiKey, now),
        AppNo = app.No,
        Name = name.Trim(),
        Scopes = [.. scopes.Distinct()],
        Hash = HashOf(key),
        CreatedAt = now,
    };

    public static byte[] HashOf(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private sealed class Configuration : IEntityTypeConfiguration<ApiKey>
    {
        public void Configure(EntityTypeBuilder<ApiKey> builder)
        {
            builder.HasKey(k => k.Id);
            builder.HasIndex(k => new { k.AppNo, k.Id });
            // The same key twice would outlive the deletion of one of its rows.
            builder.HasIndex(k => new { k.AppNo, k.Hash }).IsUnique();
            builder.HasOne<App>().WithMany().HasForeignKey(k => k.AppNo).OnDelete(DeleteBehavior.Restrict);
        }
    }
}
