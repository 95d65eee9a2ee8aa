using System.Net.Sockets;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace CampaignService.Data;

/// <summary>Whether the database answers; and the promise that once it does, no pooled connection from before its absence is handed out.</summary>
public sealed class DatabaseHealth(NpgsqlDataSource source) : IHealthCheck
{
    private readonly Lock _clearing = new();
    private volatile bool _lost;

    /// <summary>A connection broke: every idle one may be dead too, so the pool is emptied before the next one is used.</summary>
    public void Lost()
    {
        _lost = true;
        Clear();
    }

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                if (_lost) Clear();
                await using var command = source.CreateCommand("SELECT 1");
                await command.ExecuteScalarAsync(cancellationToken);
                _lost = false;
                return HealthCheckResult.Healthy();
            }
            catch (Exception e) when (IsConnectionLoss(e))
            {
                Lost();
                if (attempt == 2) return HealthCheckResult.Unhealthy("The database cannot be reached.");
            }
        }
    }

    /// <summary>One after the other: while another call is at it, the pool's own returns at once, and what is still in it may be dead.</summary>
    private void Clear()
    {
        lock (_clearing) source.Clear();
    }

    /// <summary>All connections of the pool are in use: no reason to throw away those that work.</summary>
    public static bool IsPoolExhausted(Exception exception) =>
        exception is NpgsqlException { InnerException: TimeoutException } && exception.Message.Contains("pool", StringComparison.Ordinal);

    /// <summary>A statement took too long, or no connection of the pool was free: no reason to throw away those that work.</summary>
    public static bool IsTimeout(Exception exception) => exception.GetBaseException() is TimeoutException;

    public static bool IsConnectionLoss(Exception exception)
    {
        for (var e = exception; e is not null; e = e.InnerException)
        {
            if (e is PostgresException p)
            {
                // 25P03: this process stood still in a transaction, and the server ended its connection.
                // What is fatal has ended the connection, or refused it: of a database that takes none at the moment, for instance.
                return p.InvariantSeverity is "FATAL" or "PANIC" || p.SqlState.StartsWith("08", StringComparison.Ordinal) || p.SqlState.StartsWith("57P", StringComparison.Ordinal)
                    || p.SqlState is PostgresErrorCodes.TooManyConnections or "25P03";
            }
            if (e is NpgsqlException { IsTransient: true } or SocketException) return true;
            if (e is NpgsqlException { InnerException: IOException or TimeoutException or null }) return true;
        }
        return false;
    }
}
