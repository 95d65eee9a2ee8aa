using Npgsql;

namespace CampaignService.Feed;

/// <summary>What the receiving side reported of one source's items.</summary>
public sealed record Receipts(long Delivered, long Read, long Engaged);

public static class FeedReceipts
{
    /// <returns>By source; those without any receipt are not in it.</returns>
    public static async Task<Dictionary<long, Receipts>> ReadAsync(NpgsqlConnection connection, long[] sources, CancellationToken ct)
    {
        // feed_receipts' key: a few slots a source
        await using var command = new NpgsqlCommand(
            "SELECT source_id, sum(delivered), sum(read), sum(engaged) FROM feed_receipts WHERE source_id = ANY($1) GROUP BY source_id", connection)
        {
            Parameters = { new() { Value = sources } },
        };
        var receipts = new Dictionary<long, Receipts>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) receipts[reader.GetInt64(0)] = new Receipts(reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3));
        return receipts;
    }
}
