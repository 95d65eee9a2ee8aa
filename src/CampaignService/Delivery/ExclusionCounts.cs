using Npgsql;

namespace CampaignService.Delivery;

/// <summary>How many never became recipients of a batch, by reason.</summary>
public static class ExclusionCounts
{
    public static async Task<IReadOnlyDictionary<string, int>> ReadAsync(NpgsqlConnection connection, long batchId, CancellationToken ct)
    {
        // batch_exclusions' key
        await using var command = new NpgsqlCommand("SELECT reason, n FROM batch_exclusions WHERE batch_id = $1 ORDER BY reason", connection)
        {
            Parameters = { new() { Value = batchId } },
        };
        var counts = new Dictionary<string, int>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) counts[reader.GetString(0)] = reader.GetInt32(1);
        return counts;
    }
}
