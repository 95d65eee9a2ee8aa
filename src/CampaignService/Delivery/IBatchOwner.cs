using CampaignService.Data;

namespace CampaignService.Delivery;

/// <summary>What a batch belongs to. Delivery tells it what happened, and it changes its own state in the same transaction.</summary>
public interface IBatchOwner
{
    BatchKind Kind { get; }

    /// <summary>Nothing of the batch is pending any more. Runs with the batch row locked; the caller saves and commits.</summary>
    Task EndedAsync(CampaignsDb db, Batch batch, BatchTotals totals, CancellationToken ct);
}
