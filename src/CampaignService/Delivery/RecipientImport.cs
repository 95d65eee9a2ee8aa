using CampaignService.Data;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Puts recipients into a batch. Runs in the caller's transaction with the batch row locked: all of them, or none.</summary>
public static class RecipientImport
{
    /// <summary>An advisory lock by app: copies of audiences share it, and an erasure waits until those under way can be seen.</summary>
    internal const int CopyLock = 0x436F7079; // "Copy"

    private const string Into = "(batch_id, user_id, vars) FROM STDIN (FORMAT binary)";

    /// <param name="db">The caller's context and transaction.</param>
    /// <param name="batch">The locked batch, still a draft.</param>
    /// <param name="rows">The recipients, sorted and without repeats.</param>
    /// <param name="repeated">How many repeats were taken out of <paramref name="rows"/> before.</param>
    /// <param name="rejected">How many rows were not fit to be recipients.</param>
    public static async Task<ImportResult> AddAsync(CampaignsDb db, Batch batch, RecipientRows rows, int repeated, int rejected, CancellationToken ct)
    {
        var positions = batch.AddVarNames(rows.Columns);
        // Into an empty batch nothing can collide, and sorted rows into the one index are as fast as PostgreSQL gets.
        var added = batch.Total == 0
            ? await CopyAsync(db.Connection, $"COPY recipients {Into}", batch, rows, positions, ct)
            : await MergeAsync(db.Connection, batch, rows, positions, ct);
        var duplicates = repeated + rows.Count - added;
        batch.AddRecipients(added);
        await ExcludeAsync(db.Connection, batch.Id, "duplicate", duplicates, ct);
        await ExcludeAsync(db.Connection, batch.Id, "rejected", rejected, ct);
        return new ImportResult(added, duplicates, batch.Total);
    }

    /// <summary>Copies the audience of one batch into another that is empty, without those who were erased.</summary>
    public static async Task CopyAudienceAsync(CampaignsDb db, long from, Batch to, CancellationToken ct)
    {
        await using (var share = new NpgsqlCommand("SELECT pg_advisory_xact_lock_shared($1, $2)", db.Connection) { Parameters = { new() { Value = CopyLock }, new() { Value = to.AppNo } } })
        {
            await share.ExecuteNonQueryAsync(ct);
        }
        await using var command = new NpgsqlCommand("""
            WITH exclusions AS (INSERT INTO batch_exclusions (batch_id, reason, n) SELECT $2, reason, n FROM batch_exclusions WHERE batch_id = $1)
            INSERT INTO recipients (batch_id, user_id, vars) SELECT $2, user_id, vars FROM recipients WHERE batch_id = $1 AND NOT (user_id >= ' ' AND user_id < '!') ORDER BY user_id
            """, db.Connection) { CommandTimeout = 0, Parameters = { new() { Value = from }, new() { Value = to.Id } } };
        to.CopiedRecipients(await command.ExecuteNonQueryAsync(ct));
    }

    /// <summary>Removes the audience of a batch that is being deleted.</summary>
    public static async Task DeleteAudienceAsync(CampaignsDb db, long batchId, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH exclusions AS (DELETE FROM batch_exclusions WHERE batch_id = $1)
            DELETE FROM recipients WHERE batch_id = $1
            """, db.Connection) { CommandTimeout = 0, Parameters = { new() { Value = batchId } } };
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<int> MergeAsync(NpgsqlConnection connection, Batch batch, RecipientRows rows, int[] positions, CancellationToken ct)
    {
        await using (var create = new NpgsqlCommand(
            "CREATE TEMP TABLE arriving (batch_id bigint, user_id text COLLATE \"C\", vars text[]) ON COMMIT DROP", connection))
        {
            await create.ExecuteNonQueryAsync(ct);
        }
        await CopyAsync(connection, $"COPY arriving {Into}", batch, rows, positions, ct);
        await using var merge = new NpgsqlCommand(
            "INSERT INTO recipients (batch_id, user_id, vars) SELECT batch_id, user_id, vars FROM arriving ON CONFLICT DO NOTHING", connection)
        {
            CommandTimeout = 0,
        };
        return await merge.ExecuteNonQueryAsync(ct);
    }

    private static async Task<int> CopyAsync(NpgsqlConnection connection, string sql, Batch batch, RecipientRows rows, int[] positions, CancellationToken ct)
    {
        using var copy = new BinaryCopy();
        await using var stream = await connection.BeginRawBinaryCopyAsync(sql, ct);
        await rows.WriteAllAsync(copy, stream, batch.Id, positions, batch.VarNames.Length, ct);
        return rows.Count;
    }

    private static async Task ExcludeAsync(NpgsqlConnection connection, long batchId, string reason, int count, CancellationToken ct)
    {
        if (count == 0) return;
        await using var command = new NpgsqlCommand("""
            INSERT INTO batch_exclusions (batch_id, reason, n) VALUES ($1, $2, $3)
            ON CONFLICT (batch_id, reason) DO UPDATE SET n = batch_exclusions.n + excluded.n
            """, connection) { Parameters = { new() { Value = batchId }, new() { Value = reason }, new() { Value = count } } };
        await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>What an import came to.</summary>
public sealed record ImportResult(int Added, int Duplicates, int Total);
