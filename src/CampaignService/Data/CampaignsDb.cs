using CampaignService.Campaigns;
using CampaignService.Channels;
using CampaignService.Delivery;
using CampaignService.Notifications;
using CampaignService.Templates;
using CampaignService.Tenancy;
using CampaignService.Users;
using CampaignService.Webhooks;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Data;

/// <summary>
/// The objects that are created, read and changed one by one. What moves by the thousand (recipients, chunks, exceptions, feed items)
/// has tables made by <c>EngineSchema</c> in the first migration and is reached by SQL in the files that the architecture test lists.
/// </summary>
public sealed class CampaignsDb(DbContextOptions<CampaignsDb> options) : DbContext(options)
{
    public DbSet<App> Apps => Set<App>();

    public DbSet<ApiKey> ApiKeys => Set<ApiKey>();

    public DbSet<AppUser> Users => Set<AppUser>();

    public DbSet<Device> Devices => Set<Device>();

    public DbSet<Channel> Channels => Set<Channel>();

    public DbSet<Template> Templates => Set<Template>();

    public DbSet<Category> Categories => Set<Category>();

    public DbSet<TemplateVersion> TemplateVersions => Set<TemplateVersion>();

    public DbSet<Batch> Batches => Set<Batch>();

    public DbSet<Campaign> Campaigns => Set<Campaign>();

    public DbSet<Webhook> Webhooks => Set<Webhook>();

    public DbSet<Notification> Notifications => Set<Notification>();

    /// <summary>The connection under this context, for SQL that must share its transaction.</summary>
    public NpgsqlConnection Connection => (NpgsqlConnection)Database.GetDbConnection();

    /// <summary>Builds the model, which every context of this process then shares, and compiles a first query; needs no database.</summary>
    public static void Warm()
    {
        using var db = new CampaignsDb(new DbContextOptionsBuilder<CampaignsDb>().UseNpgsql("Host=127.0.0.1").Options);
        _ = db.Apps.Where(a => a.Id == "").ToQueryString();
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.ApplyConfigurationsFromAssembly(typeof(CampaignsDb).Assembly);

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
        configurationBuilder.Conventions.Add(_ => new SnakeCaseNames());
}
