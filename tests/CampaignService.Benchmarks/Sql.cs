using Npgsql;

namespace CampaignService.Benchmarks;

internal static class Sql
{
    /// <summary>Bytes of WAL that were written since the cluster was made.</summary>
    public const string WalPosition = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";

    public static async Task<T> ScalarAsync<T>(this NpgsqlDataSource db, string sql, CancellationToken ct)
    {
        await using var command = db.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync(ct))!;
    }

    public static async Task<int> ExecuteAsync(this NpgsqlDataSource db, string sql, CancellationToken ct)
    {
        await using var command = db.CreateCommand(sql);
        command.CommandTimeout = 0;
        return await command.ExecuteNonQueryAsync(ct);
    }
}
