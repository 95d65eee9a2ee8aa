using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Messages of a batch on one channel, by what became of them. Pending is what is left, so the sum always is the whole.</summary>
public sealed record ChannelTotals(int ChannelNo, long Messages, long Delivered, long Failed, long Skipped, long Uncertain)
{
    public long Pending => Messages - Delivered - Failed - Skipped - Uncertain;
}

/// <summary>The ledger of a batch in numbers: sums over its chunks, never a counter of its own and never a count of rows.</summary>
/// <param name="Recipients">People.</param>
/// <param name="Channels">By channel.</param>
/// <param name="Pace">Messages a second over the last half minute.</param>
public sealed record BatchTotals(long Recipients, IReadOnlyList<ChannelTotals> Channels, double Pace = 0)
{
    /// <summary>At that pace; null when nothing moved.</summary>
    public long? SecondsLeft => Pace > 0 ? (long)Math.Ceiling(Pending / Pace) : null;

    public long Messages => Channels.Sum(c => c.Messages);

    public long Pending => Channels.Sum(c => c.Pending);

    public long Delivered => Channels.Sum(c => c.Delivered);

    public long Failed => Channels.Sum(c => c.Failed);

    public long Skipped => Channels.Sum(c => c.Skipped);

    public long Uncertain => Channels.Sum(c => c.Uncertain);

    /// <summary>A batch that was not cut yet: everything is pending.</summary>
    public static BatchTotals AllPending(int recipients, IEnumerable<int> channels) =>
        new(recipients, [.. channels.Select(no => new ChannelTotals(no, recipients, 0, 0, 0, 0))]);

    /// <returns>By batch; those without chunks are not in it.</returns>
    public static async Task<Dictionary<long, BatchTotals>> ReadAsync(NpgsqlConnection connection, long[] batches, CancellationToken ct)
    {
        // chunks' key: a chunk holds thousands of recipients, so this reads hundreds of rows where counting would read millions.
        await using var command = new NpgsqlCommand("""
            SELECT batch_id, channel_no, sum(n), sum(delivered), sum(failed), sum(skipped), sum(uncertain),
              -- Since the first chunk of the last half minute, and never over less than a second: a start is no pace. What was set aside or
              -- stopped is none either, and a later pass has none: its chunks keep the time of the first.
              coalesce(sum(n) FILTER (WHERE base IS NOT NULL AND done_at > clock_timestamp() - interval '30 seconds') / greatest(1, extract(epoch FROM
                clock_timestamp() - min(done_at) FILTER (WHERE base IS NOT NULL AND done_at > clock_timestamp() - interval '30 seconds'))), 0)::float8
            FROM chunks WHERE batch_id = ANY($1) GROUP BY batch_id, channel_no ORDER BY batch_id, channel_no
            """, connection) { Parameters = { new() { Value = batches } } };
        var channels = new List<(long Batch, ChannelTotals Totals, double Pace)>();
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
            {
                channels.Add((reader.GetInt64(0), new ChannelTotals(reader.GetInt32(1), reader.GetInt64(2), reader.GetInt64(3),
                    reader.GetInt64(4), reader.GetInt64(5), reader.GetInt64(6)), reader.GetDouble(7)));
            }
        }
        return channels.GroupBy(c => c.Batch).ToDictionary(g => g.Key, g => new BatchTotals(g.First().Totals.Messages, [.. g.Select(c => c.Totals)], g.Sum(c => c.Pace)));
    }
}

/// <summary>How many messages share a status and a reason, on one channel.</summary>
public sealed record ReasonCount(int ChannelNo, MessageStatus Status, string Reason, long Count)
{
    /// <summary>Counts by reason: exceptions row by row, and chunks that were closed early by their rest.</summary>
    public static async Task<IReadOnlyList<ReasonCount>> ReadAsync(NpgsqlConnection connection, long batchId, CancellationToken ct)
    {
        // chunks' key; recipient_exceptions' key, a range for each chunk
        await using var command = new NpgsqlCommand($"""
            SELECT channel_no, status, reason, sum(n)::bigint FROM (
              SELECT e.channel_no, e.status, e.reason, count(*) AS n
              FROM chunks c JOIN recipient_exceptions e
                ON e.batch_id = c.batch_id AND e.channel_no = c.channel_no AND e.user_id >= c.first_user AND e.user_id <= c.last_user
              WHERE c.batch_id = $1 AND e.status IN (3, 4, 5) AND e.reason IS NOT NULL AND NOT {ChunkControl.Reopened} GROUP BY 1, 2, 3
              UNION ALL
              SELECT channel_no, rest, rest_reason, sum(rest_n) FROM chunks WHERE batch_id = $1 AND rest_n > 0 GROUP BY 1, 2, 3) AS parts
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """, connection) { Parameters = { new() { Value = batchId } } };
        var counts = new List<ReasonCount>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) counts.Add(new ReasonCount(reader.GetInt32(0), (MessageStatus)reader.GetInt16(1), reader.GetString(2), reader.GetInt64(3)));
        return counts;
    }
}
