using CampaignService.Channels.InApp;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Delivers one chunk. Everything it writes (feed rows, exceptions, the closed chunk, the claim of the next) is one transaction behind
/// the lease's fence. Die before its commit: nothing happened, the lease runs out, another worker does it all. Die after: it is done.
/// An unknown outcome of the commit is never repeated from memory; the chunk's row tells.
/// </summary>
public sealed class ChunkProcessor(NpgsqlDataSource source, BatchSources sources)
{
    /// <returns>The next chunk, claimed already; null when there is none or <paramref name="claimNext"/> is false.</returns>
    public async Task<ChunkClaim?> ProcessAsync(ChunkClaim chunk, bool claimNext, CancellationToken ct)
    {
        var content = await sources.FindAsync(chunk.BatchId, ct) ?? throw new InvalidOperationException($"Batch {chunk.BatchId} has chunks but no row.");
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);

        using var messages = new InAppMessages(chunk.AppNo, chunk.ChannelNo, chunk.BatchId, content.Channels[chunk.ChannelNo].Template);
        if (!await ReadRangeAsync(connection, chunk, messages, ct)) return null;
        await messages.WriteAsync(connection, ct);

        var results = new NpgsqlBatch(connection, transaction);
        await using (results)
        {
            ResultWriter.AddCommands(results, chunk, messages);
            var token = Guid.Empty;
            if (claimNext) results.BatchCommands.Add(ChunkQueue.ClaimCommand(chunk.AppNo, out token));
            ChunkClaim? next = null;
            await using (var reader = await results.ExecuteReaderAsync(ct))
            {
                if (claimNext) next = await ChunkQueue.ReadClaimAsync(reader, token, ct);
            }
            await transaction.CommitAsync(ct);
            return next;
        }
    }

    /// <summary>Locks the chunk if the lease still is ours, and reads its recipients as bytes: they go into the feed as they are.</summary>
    /// <returns>False when the chunk was taken from us; nothing may be written then.</returns>
    private static async Task<bool> ReadRangeAsync(NpgsqlConnection connection, ChunkClaim chunk, InAppMessages messages, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                // chunks' key
                new("SELECT next_id() FROM chunks WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4 FOR UPDATE")
                {
                    Parameters = { new() { Value = chunk.BatchId }, new() { Value = chunk.No }, new() { Value = chunk.ChannelNo }, new() { Value = chunk.Token } },
                },
                // recipients' key
                new("SELECT textsend(user_id), array_send(vars) FROM recipients WHERE batch_id = $1 AND user_id >= $2 AND user_id <= $3 ORDER BY user_id")
                {
                    Parameters = { new() { Value = chunk.BatchId }, new() { Value = chunk.FirstUser }, new() { Value = chunk.LastUser } },
                },
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return false;
        // One id of the database's opens a block of 2,048: an id a row would cost more than reading the row.
        var feedId = reader.GetInt64(0);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) messages.Add(reader.GetFieldValue<byte[]>(0), reader.GetFieldValue<byte[]>(1), feedId++);
        return true;
    }
}
