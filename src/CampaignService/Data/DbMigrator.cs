using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Data;

/// <summary>Brings the schema up to date at start. Any number of processes may start at once: the first migrates, the others wait.</summary>
public sealed class DbMigrator(NpgsqlDataSource source, IServiceScopeFactory scopes)
{
    private const long AdvisoryLock = 0x43616D706169676E; // "Campaign"

    public async Task MigrateAsync(CancellationToken ct)
    {
        // A lock of its session: if this process dies here the server drops it, and the next process goes on with the migration.
        await using var guard = await source.OpenConnectionAsync(ct);
        await using var lockIt = new NpgsqlCommand("SELECT pg_advisory_lock($1)", guard) { CommandTimeout = 0, Parameters = { new() { Value = AdvisoryLock } } };
        await lockIt.ExecuteNonQueryAsync(ct);
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<CampaignsDb>().Database;
        // Asking first is two small questions; Migrate asks many, and most starts find nothing to do.
        if (await NewestAsync(guard, ct) != database.GetMigrations().Last()) await database.MigrateAsync(ct);
        await using var unlock = new NpgsqlCommand("SELECT pg_advisory_unlock($1)", guard) { Parameters = { new() { Value = AdvisoryLock } } };
        await unlock.ExecuteNonQueryAsync(ct);
    }

    private static async Task<string?> NewestAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var exists = new NpgsqlCommand("""SELECT to_regclass('"__EFMigrationsHistory"') IS NOT NULL""", connection);
        if (!(bool)(await exists.ExecuteScalarAsync(ct))!) return null;
        await using var newest = new NpgsqlCommand("""SELECT max("MigrationId") FROM "__EFMigrationsHistory" """, connection);
        return await newest.ExecuteScalarAsync(ct) as string;
    }
}
