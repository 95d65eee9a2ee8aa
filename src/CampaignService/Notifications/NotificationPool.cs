using CampaignService.Data;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// The connections over which direct notifications are written: they wait for no request, and their statements are planned once and not
/// at each use, which cost as much as carrying it out.
/// </summary>
public static class NotificationPool
{
    public const string Key = "notifications";

    /// <param name="connectionString">The service's.</param>
    /// <param name="flushers">How many write at once.</param>
    public static NpgsqlDataSource Create(string connectionString, int flushers)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        ServerLimits.AddTo(settings, idleInTransaction: TimeSpan.FromSeconds(10));
        settings.Options += " -c plan_cache_mode=force_generic_plan";
        (settings.MinPoolSize, settings.MaxPoolSize) = (0, flushers);
        // Nobody changes anything of these sessions, and to set it back cost as much as ten of the rows that are written.
        settings.NoResetOnClose = true;
        settings.ApplicationName = "campaigns-notifications";
        return new NpgsqlDataSourceBuilder(settings.ConnectionString) { Name = Key }.Build();
    }
}
