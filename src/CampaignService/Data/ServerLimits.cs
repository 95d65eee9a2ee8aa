using Npgsql;

namespace CampaignService.Data;

/// <summary>
/// What the server does by itself about clients that are gone: a machine that lost its power or its network says no goodbye, and the
/// kernel would keep its locks for hours.
/// </summary>
public static class ServerLimits
{
    /// <param name="settings">Gets them added to its options, which go before.</param>
    /// <param name="idleInTransaction">How long a transaction may wait for its client.</param>
    public static void AddTo(NpgsqlConnectionStringBuilder settings, TimeSpan idleInTransaction)
    {
        var limits = $"-c idle_in_transaction_session_timeout={idleInTransaction.TotalMilliseconds:0} "
            + "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=2";
        settings.Options = string.IsNullOrEmpty(settings.Options) ? limits : $"{limits} {settings.Options}";
    }
}
