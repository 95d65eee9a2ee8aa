using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Ends a batch of which nothing is pending. It is tried by the worker that finds no more work in a batch, and by a sweep each second,
/// which covers a death between the two.
/// </summary>
public sealed class BatchFinisher(IServiceScopeFactory scopes, [FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, ILogger<BatchFinisher> log)
{
    public async Task<bool> TryFinishAsync(long batchId, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        // A first look without the lock: a worker on its way to its next chunk must not wait behind whoever holds the batch.
        if (await HasOpenChunkAsync(db, batchId, ct)) return false;
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        // Lock first, look in a second statement: in one, a batch reopened while this waits for the lock would be ended with open chunks.
        var batch = await LockAsync(db, batchId, ct);
        if (batch is null || await HasOpenChunkAsync(db, batchId, ct)) return false;

        var totals = (await BatchTotals.ReadAsync(db.Connection, [batchId], ct)).GetValueOrDefault(batchId) ?? BatchTotals.AllPending(0, []);
        var owner = scope.ServiceProvider.GetServices<IBatchOwner>().Single(o => o.Kind == batch.Kind);
        batch.End();
        await owner.EndedAsync(db, batch, totals, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return true;
    }

    /// <summary>Finishes whatever is left of batches whose last worker died.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        var done = new List<long>();
        // index on batches (state) where sending or stopping; chunks_open
        await using (var command = source.CreateCommand(
            "SELECT id FROM batches b WHERE state IN (2, 4) AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.batch_id = b.id AND c.state <> 4)"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) done.Add(reader.GetInt64(0));
        }
        foreach (var batchId in done)
        {
            try
            {
                await TryFinishAsync(batchId, ct);
            }
            catch (Exception e) when (!ct.IsCancellationRequested && !DatabaseHealth.IsConnectionLoss(e))
            {
                log.LogError(e, "Batch {Batch} has nothing pending and could not be ended; trying again in a second", batchId);
            }
        }
    }

    /// <returns>Null when it is not to be ended, or when somebody holds it for long: the caller has its next chunk leased, and the sweep comes round.</returns>
    private static async Task<Batch?> LockAsync(CampaignsDb db, long batchId, CancellationToken ct)
    {
        await db.Database.ExecuteSqlAsync($"SET LOCAL lock_timeout = '2s'", ct);
        try
        {
            return await db.Batches.FromSql($"SELECT * FROM batches WHERE id = {batchId} AND state IN ({(short)BatchState.Sending}, {(short)BatchState.Stopping}) FOR NO KEY UPDATE").FirstOrDefaultAsync(ct);
        }
        catch (Exception e) when (e.GetBaseException() is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable })
        {
            return null;
        }
    }

    private static async Task<bool> HasOpenChunkAsync(CampaignsDb db, long batchId, CancellationToken ct)
    {
        // chunks_open
        await db.Database.OpenConnectionAsync(ct);
        try
        {
            await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM chunks WHERE batch_id = $1 AND state <> 4)", db.Connection)
            {
                Parameters = { new() { Value = batchId } },
            };
            return (bool)(await command.ExecuteScalarAsync(ct))!;
        }
        finally
        {
            await db.Database.CloseConnectionAsync();
        }
    }
}
