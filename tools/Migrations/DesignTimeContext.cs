using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace CampaignService.Migrations;

/// <summary>Gives dotnet-ef the model without starting the service or needing a database.</summary>
public sealed class DesignTimeContext : IDesignTimeDbContextFactory<CampaignsDb>
{
    public CampaignsDb CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<CampaignsDb>().UseNpgsql("Host=127.0.0.1;Database=design;Username=design").Options);
}
