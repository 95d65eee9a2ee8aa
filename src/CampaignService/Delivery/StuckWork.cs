using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Batches whose sending is due and does not come on.</summary>
public static class StuckWork
{
    /// <returns>At most 10, the longest-standing first.</returns>
    public static async Task<IReadOnlyList<long>> FindAsync(NpgsqlDataSource source, TimeSpan after, CancellationToken ct)
    {
        // index on batches (state) where sending or stopping
        await using var command = source.CreateCommand("SELECT id FROM batches WHERE state IN (2, 4) AND progress_at < clock_timestamp() - $1 ORDER BY progress_at LIMIT 10");
        command.Parameters.Add(new() { Value = after });
        var found = new List<long>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add(reader.GetInt64(0));
        return found;
    }
}
