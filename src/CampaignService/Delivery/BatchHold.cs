using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Pauses what is being sent, and has it go on, for reasons of the service's own. Each batch in a transaction of its own.</summary>
public sealed class BatchHold(IServiceScopeFactory scopes, WorkSignal signal, ILogger<BatchHold> log)
{
    /// <summary>sending -> paused. One that a request is working on is passed over, and met again: it must not keep the others waiting.</summary>
    public async Task TryHoldAsync(long batchId, HoldReason reason, CancellationToken ct)
    {
        if (await ChangeAsync(batchId, BatchState.Sending, async (db, batch, owner) =>
        {
            await owner.HeldAsync(db, batch, reason, ct);
            await db.SaveChangesAsync(ct);
            await ChunkControl.HoldAsync(db, batch, ct);
            return true;
        }, ct)) log.LogWarning("Batch {Batch} is paused: {Reason}", batchId, reason);
    }

    /// <summary>paused -> sending, where that reason and no other holds it.</summary>
    public async Task TryReleaseAsync(long batchId, HoldReason reason, CancellationToken ct)
    {
        var goesOn = false;
        await ChangeAsync(batchId, BatchState.Paused, async (db, batch, owner) =>
        {
            if (batch.HeldFor != reason) return false;
            goesOn = await owner.ReleasedAsync(db, batch, ct);
            // Refused once, refused for ever: it is no more of the service's business, and no probe takes of it.
            if (!goesOn) batch.Unhold();
            await db.SaveChangesAsync(ct);
            if (goesOn) await ChunkControl.ReleaseAsync(db, batch, ct);
            return true;
        }, ct);
        if (!goesOn) return;
        signal.Wake();
        log.LogInformation("Batch {Batch} goes on: it is no longer {Reason}", batchId, reason);
    }

    private async Task<bool> ChangeAsync(long batchId, BatchState from, Func<CampaignsDb, Batch, IBatchOwner, Task<bool>> change, CancellationToken ct)
    {
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
            await using var transaction = await db.Database.BeginTransactionAsync(ct);
            await db.Database.ExecuteSqlAsync($"SET LOCAL lock_timeout = '2s'", ct);
            var batch = await db.Batches.FromSql($"SELECT * FROM batches WHERE id = {batchId} AND state = {(short)from} FOR NO KEY UPDATE").FirstOrDefaultAsync(ct);
            if (batch is null || !await change(db, batch, scope.ServiceProvider.GetServices<IBatchOwner>().Single(o => o.Kind == batch.Kind))) return false;
            await transaction.CommitAsync(ct);
            return true;
        }
        catch (Exception e) when (e.GetBaseException() is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable })
        {
            log.LogWarning("Batch {Batch} should change, but another request is working on it; it is tried again", batchId);
            return false;
        }
    }
}
