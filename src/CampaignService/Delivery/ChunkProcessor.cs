using System.Text;
using CampaignService.Channels.InApp;
using CampaignService.Common;
using CampaignService.Feed;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// Delivers one chunk. Everything it writes (feed rows, exceptions, the closed chunk, the claim of the next) is one transaction behind
/// the lease's fence. Die before its commit: nothing happened, the lease runs out, another worker does it all. Die after: it is done.
/// An unknown outcome of the commit is never repeated from memory; the chunk's row tells.
/// </summary>
public sealed class ChunkProcessor([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, ChunkQueue queue, BatchSources sources, FeedSignal feed)
{
    /// <param name="chunk">The chunk, leased to the caller.</param>
    /// <param name="claimNext">Whether to claim another one in the same commit.</param>
    /// <param name="ct">Gives up; nothing is written then.</param>
    public async Task<ChunkResult> ProcessAsync(ChunkClaim chunk, bool claimNext, CancellationToken ct)
    {
        var content = await sources.FindAsync(chunk.BatchId, ct) ?? throw new InvalidOperationException($"Batch {chunk.BatchId} has chunks but no row.");
        await using var connection = await source.OpenConnectionAsync(ct);
        var backend = connection.ProcessID;
        try
        {
            var result = await ProcessAsync(connection, chunk, content, claimNext, ct);
            if (result.Closed) feed.Wake();
            return result;
        }
        catch (OperationCanceledException)
        {
            // A COPY that waits for a lock is not cancelled with its connection: its server process would hold the chunk's row until it times out.
            await using var end = source.CreateCommand("SELECT pg_terminate_backend($1)");
            end.Parameters.Add(new() { Value = backend });
            await end.ExecuteNonQueryAsync(CancellationToken.None);
            throw;
        }
    }

    private async Task<ChunkResult> ProcessAsync(NpgsqlConnection connection, ChunkClaim chunk, FeedSource content, bool claimNext, CancellationToken ct)
    {
        await using var transaction = await connection.BeginTransactionAsync(ct);
        using var messages = new InAppMessages(chunk.AppNo, chunk.ChannelNo, chunk.BatchId, content.Channels[chunk.ChannelNo]);
        var servedAtLast = new List<string>();
        if (!await ReadRangeAsync(connection, chunk, messages, servedAtLast, ct))
        {
            Telemetry.ChunkAbandoned();
            return new ChunkResult(Closed: false, Next: null);
        }
        await messages.WriteAsync(connection, ct);

        var results = new NpgsqlBatch(connection, transaction);
        await using (results)
        {
            ResultWriter.AddCommands(results, chunk, messages, servedAtLast);
            var token = Guid.Empty;
            if (claimNext) results.BatchCommands.Add(queue.ClaimCommand(chunk.AppNo, out token));
            ChunkClaim? next = null;
            await using (var reader = await results.ExecuteReaderAsync(ct))
            {
                if (claimNext) next = await ChunkQueue.ReadClaimAsync(reader, token, ct);
            }
            await transaction.CommitAsync(ct);
            Telemetry.ChunkClosed("in_app", messages.Delivered, messages.Skipped.Count);
            return new ChunkResult(Closed: true, next);
        }
    }

    /// <summary>Locks the chunk if the lease still is ours, and reads its recipients as bytes: they go into the feed as they are.</summary>
    /// <returns>False when the chunk was taken from us; nothing may be written then.</returns>
    private static async Task<bool> ReadRangeAsync(
        NpgsqlConnection connection, ChunkClaim chunk, InAppMessages messages, List<string> servedAtLast, CancellationToken ct)
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
                chunk.IsWhole ? Everybody(chunk) : ThosePending(chunk),
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return false;
        // One id of the database's opens a block of 2,048: an id a row would cost more than reading the row.
        var feedId = reader.GetInt64(0);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (userId, before) = (reader.GetFieldValue<byte[]>(0), messages.Delivered);
            messages.Add(userId, reader.GetFieldValue<byte[]>(1), feedId++);
            if (!chunk.IsWhole && messages.Delivered > before && reader.GetBoolean(2)) servedAtLast.Add(Encoding.UTF8.GetString(userId));
        }
        return true;
    }

    // recipients' key
    private static NpgsqlBatchCommand Everybody(ChunkClaim chunk) =>
        new("SELECT textsend(user_id), array_send(vars) FROM recipients WHERE batch_id = $1 AND user_id >= $2 AND user_id <= $3 ORDER BY user_id")
        {
            Parameters = { new() { Value = chunk.BatchId }, new() { Value = chunk.FirstUser }, new() { Value = chunk.LastUser } },
        };

    /// <summary>A later pass: those whose exception was taken up again and, if nothing is said of the rest, those without an exception.</summary>
    private static NpgsqlBatchCommand ThosePending(ChunkClaim chunk) => new($"""
        SELECT textsend(r.user_id), array_send(r.vars), e.user_id IS NOT NULL
        FROM chunks c -- chunks' key, recipients' key, recipient_exceptions' key
        JOIN recipients r ON r.batch_id = c.batch_id AND r.user_id >= c.first_user AND r.user_id <= c.last_user
        LEFT JOIN recipient_exceptions e ON e.batch_id = c.batch_id AND e.channel_no = c.channel_no AND e.user_id = r.user_id
        WHERE c.batch_id = $1 AND c.no = $2 AND c.channel_no = $3
          AND CASE WHEN e.user_id IS NULL THEN c.base IS NULL AND c.rest IS NULL ELSE {ChunkControl.Reopened} END
        ORDER BY r.user_id
        """)
    {
        Parameters = { new() { Value = chunk.BatchId }, new() { Value = chunk.No }, new() { Value = chunk.ChannelNo } },
    };
}

/// <summary>How a turn at a chunk ended.</summary>
/// <param name="Closed">Its results are committed; false when it was taken from the worker, by a pause for instance.</param>
/// <param name="Next">The next chunk, claimed in the same commit.</param>
public sealed record ChunkResult(bool Closed, ChunkClaim? Next);
