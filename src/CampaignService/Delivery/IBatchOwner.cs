using CampaignService.Data;

namespace CampaignService.Delivery;

/// <summary>What a batch belongs to. Delivery tells it what happened, and it changes its own state in the same transaction.</summary>
public interface IBatchOwner
{
    BatchKind Kind { get; }

    /// <summary>Nothing of the batch is pending any more. Runs with the batch row locked; the caller saves and commits.</summary>
    Task EndedAsync(CampaignsDb db, Batch batch, BatchTotals totals, CancellationToken ct);

    /// <summary>The batch was sending and must not go on by itself: the owner pauses itself and the batch. Runs with the batch row locked; the caller saves, holds the chunks and commits.</summary>
    Task HeldAsync(CampaignsDb db, Batch batch, HoldReason reason, CancellationToken ct);

    /// <summary>What the batch was held for has passed: the owner goes on, and the batch, if that still is why they stand. Runs with the batch row locked; the caller saves, releases the chunks and commits.</summary>
    /// <returns>Whether it goes on.</returns>
    Task<bool> ReleasedAsync(CampaignsDb db, Batch batch, CancellationToken ct);

    /// <summary>Whatever waits for its time must not start by itself. In transactions of its own.</summary>
    Task HoldScheduledAsync(HoldReason reason, CancellationToken ct);
}
