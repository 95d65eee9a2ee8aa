using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// The workers' own connections: requests cannot starve them nor they requests. The server ends what hangs on them, so that no row stays
/// locked by a worker that is gone: a machine that lost its power or its network says no goodbye.
/// </summary>
public static class DeliveryPool
{
    public const string Key = "delivery";

    public static NpgsqlDataSource Create(string connectionString, int loops)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        const string limits = "-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s "
            + "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=2";
        settings.Options = string.IsNullOrEmpty(settings.Options) ? limits : $"{settings.Options} {limits}";
        // One for each loop; the sweep, and what a failed turn gives back, take turns at the others.
        settings.MaxPoolSize = loops + 2;
        settings.MinPoolSize = 0;
        settings.ApplicationName = "campaigns-worker";
        return new NpgsqlDataSourceBuilder(settings.ConnectionString) { Name = Key }.Build();
    }
}
