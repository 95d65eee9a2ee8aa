using Npgsql;

namespace CampaignService.Delivery;

/// <summary>What a batch came to.</summary>
public enum BatchOutcome
{
    /// <summary>Everybody was served who should have been.</summary>
    Completed = 0,

    /// <summary>Some were not.</summary>
    PartiallyFailed = 1,

    /// <summary>Nobody was.</summary>
    Failed = 2,
}

public static class BatchOutcomes
{
    /// <summary>Skips for these reasons do not count against the outcome: the recipient was meant to be left out.</summary>
    private static readonly HashSet<string> Neutral = ["stopped", "suppressed", "opted_out", "already_received", ErasedRecipient.Reason];

    /// <summary>The outcome of a batch of which nothing is pending.</summary>
    public static async Task<BatchOutcome> DecideAsync(NpgsqlConnection connection, Batch batch, BatchTotals totals, CancellationToken ct)
    {
        var neutral = totals.Skipped == 0 ? 0 : (await ReasonCount.ReadAsync(connection, batch.Id, ct))
            .Where(r => r.Status == MessageStatus.Skipped && Neutral.Contains(r.Reason)).Sum(r => r.Count);
        var notServed = totals.Skipped - neutral + totals.Failed + totals.Uncertain;
        return notServed == 0 ? BatchOutcome.Completed : totals.Delivered == 0 ? BatchOutcome.Failed : BatchOutcome.PartiallyFailed;
    }
}
