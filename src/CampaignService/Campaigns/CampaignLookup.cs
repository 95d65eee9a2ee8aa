using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

public static class CampaignLookup
{
    /// <summary>A campaign to read, with its batch.</summary>
    /// <exception cref="ApiException">404: the app has no such campaign.</exception>
    public static async Task<Campaign> FindCampaignAsync(this CampaignsDb db, CurrentApp app, string id, CancellationToken ct) =>
        await db.Campaigns.AsNoTracking().Include(c => c.Batch).FirstOrDefaultAsync(c => c.AppNo == app.No && c.Id == id, ct)
        ?? throw new ApiException(Errors.NotFound("campaign", id));

    /// <summary>
    /// Loads a campaign for a change, behind the lock of its batch's row: who comes second sees what the first did. Waits at most 2 s
    /// (an upload may hold the lock for longer), then the caller is told to try again. Needs an open transaction.
    /// </summary>
    /// <exception cref="ApiException">404: the app has no such campaign. 409: another request is working on it.</exception>
    public static async Task<Campaign> LockAsync(this CampaignsDb db, CurrentApp app, string id, CancellationToken ct)
    {
        var batchId = await db.Campaigns.Where(c => c.AppNo == app.No && c.Id == id).Select(c => (long?)c.BatchId).FirstOrDefaultAsync(ct)
            ?? throw new ApiException(Errors.NotFound("campaign", id));
        await db.Database.ExecuteSqlAsync($"SET LOCAL lock_timeout = '2s'", ct);
        await db.Database.ExecuteSqlAsync($"SELECT 1 FROM batches WHERE id = {batchId} FOR NO KEY UPDATE", ct);
        return await db.Campaigns.Include(c => c.Batch).FirstOrDefaultAsync(c => c.AppNo == app.No && c.Id == id, ct)
            ?? throw new ApiException(Errors.NotFound("campaign", id));
    }

    /// <summary>The same for the service itself, whatever the app; it waits for nobody.</summary>
    /// <returns>
    /// The campaign, and the time by which to judge it: the database's own, for this process may just have been asleep. Null when it is gone
    /// or somebody else is working on it; the sweep comes round again.
    /// </returns>
    public static async Task<(Campaign Campaign, DateTimeOffset Now)?> TryLockAsync(this CampaignsDb db, string id, CancellationToken ct)
    {
        var locked = await db.Database.SqlQuery<DateTimeOffset>(
            $"SELECT clock_timestamp() AS \"Value\" FROM batches WHERE id = (SELECT batch_id FROM campaigns WHERE id = {id}) FOR NO KEY UPDATE SKIP LOCKED").ToListAsync(ct);
        if (locked.Count == 0 || await db.Campaigns.Include(c => c.Batch).FirstOrDefaultAsync(c => c.Id == id, ct) is not { } campaign) return null;
        return (campaign, locked[0]);
    }
}
