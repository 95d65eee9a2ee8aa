using CampaignService.Data;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// The connections of the workers and of what watches over them: requests cannot starve delivery nor it requests. A statement may take
/// its time, for a chunk may be large, but it does not wait for a lock for ever.
/// </summary>
public static class DeliveryPool
{
    public const string Key = "delivery";

    public static NpgsqlDataSource Create(string connectionString, int loops)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        ServerLimits.AddTo(settings, idleInTransaction: TimeSpan.FromSeconds(10));
        settings.Options += " -c lock_timeout=10s";
        settings.CommandTimeout = 0;
        // One for each loop; the sweep, the pulse, and what a failed turn gives back, take turns at four others; results of external sending at four more.
        settings.MaxPoolSize = loops + 8;
        settings.MinPoolSize = 0;
        // A chunk's recipients come in a few reads instead of twenty, each of which costs a change of thread.
        settings.ReadBufferSize = 128 * 1024;
        settings.ApplicationName = "campaigns-worker";
        return new NpgsqlDataSourceBuilder(settings.ConnectionString) { Name = Key }.Build();
    }
}
