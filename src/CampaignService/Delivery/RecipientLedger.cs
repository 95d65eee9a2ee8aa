using System.Runtime.CompilerServices;
using CampaignService.Common;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>Which recipients to read.</summary>
/// <param name="Status">Only those with this status: on the channel given, else over all channels.</param>
/// <param name="ChannelNo">Only this channel.</param>
/// <param name="Search">Only those with this text in their id, whatever the case.</param>
public sealed record LedgerFilter(MessageStatus? Status = null, int? ChannelNo = null, string? Search = null);

/// <summary>
/// Reads the ledger of a batch: what became of every recipient, in order of user id. It goes chunk by chunk, passing over those whose
/// counters say that nobody in them has the status asked for, so a page costs the same at any depth.
/// </summary>
public sealed class RecipientLedger(NpgsqlConnection connection, long batchId, IReadOnlyList<int> channels)
{
    /// <summary>One recipient, or null.</summary>
    public async Task<LedgerEntry?> FindAsync(string userId, CancellationToken ct)
    {
        var chunks = await ChunksAsync("first_user <= $2 AND last_user >= $2", userId, ct);
        var group = chunks.Count == 0 ? NotCut() : chunks;
        var found = await RangeAsync(group, new LedgerFilter(), from: userId, after: null, limit: 1, ct);
        return found.FirstOrDefault(e => e.UserId == userId);
    }

    /// <summary>Recipients behind <paramref name="after"/>, in order, as they are asked for.</summary>
    /// <param name="filter">Which of them.</param>
    /// <param name="after">A user id; null to begin at the first.</param>
    /// <param name="wanted">How many the caller will take: without a status to look for, no more are read at a time.</param>
    /// <param name="ct">Stops it.</param>
    public async IAsyncEnumerable<LedgerEntry> ReadAsync(LedgerFilter filter, string? after, int wanted, [EnumeratorCancellation] CancellationToken ct)
    {
        var step = filter.Status is null ? Math.Min(wanted, ChunkPlanner.ChunkSize) : ChunkPlanner.ChunkSize;
        var chunks = await ChunksAsync("last_user > $2", after ?? "", ct);
        if (chunks.Count == 0 && !await IsCutAsync(ct)) chunks = NotCut();
        foreach (var group in chunks.GroupBy(c => c.No))
        {
            LedgerChunk[] rows = [.. group.Where(c => filter.ChannelNo is null || c.ChannelNo == filter.ChannelNo)];
            if (rows.Length == 0 || (filter.Status is { } status && rows.All(c => c.CountOf(status) == 0))) continue;
            for (string? last = after; ;)
            {
                var part = await RangeAsync(rows, filter, from: null, last, step, ct);
                foreach (var entry in part)
                {
                    last = entry.UserId;
                    if (filter.Status is null || entry.Status == filter.Status) yield return entry;
                }
                if (part.Count < step) break;
            }
        }
    }

    /// <summary>The recipients of one range with their messages, at most <paramref name="limit"/> people.</summary>
    private async Task<List<LedgerEntry>> RangeAsync(
        IReadOnlyList<LedgerChunk> chunks, LedgerFilter filter, string? from, string? after, int limit, CancellationToken ct)
    {
        var places = chunks.Any(c => c.Results is not null) ? await PlacesAsync(chunks[0], ct) : [];
        // recipients' key; recipient_exceptions' key
        await using var command = new NpgsqlCommand("""
            SELECT r.user_id, r.vars, e.channel_no, e.status, e.reason, e.detail, e.attempts, e.run, e.at
            FROM (SELECT user_id, vars FROM recipients
                  WHERE batch_id = $1 AND user_id >= $2 AND user_id > $3 AND ($4::text IS NULL OR user_id <= $4)
                    AND ($5::text IS NULL OR user_id COLLATE "und-x-icu" ILIKE $5)
                  ORDER BY user_id LIMIT $6) AS r
            LEFT JOIN recipient_exceptions e ON e.batch_id = $1 AND e.channel_no = ANY($7) AND e.user_id = r.user_id
            ORDER BY r.user_id
            """, connection)
        {
            Parameters =
            {
                new() { Value = batchId },
                new() { Value = from ?? chunks[0].FirstUser },
                new() { Value = after ?? "" },
                new() { Value = (object?)(chunks[0].LastUser.Length == 0 ? null : chunks[0].LastUser) ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
                new() { Value = (object?)(filter.Search is { } s ? Text.LikePattern(s) : null) ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
                new() { Value = limit },
                new() { Value = chunks.Select(c => c.ChannelNo).ToArray() },
            },
        };
        var entries = new List<LedgerEntry>();
        var exceptions = new Dictionary<int, LedgerException>();
        (string UserId, string?[] Vars)? current = null;
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var userId = reader.GetString(0);
            if (current is { } done && done.UserId != userId) Finish(done);
            if (current?.UserId != userId) current = (userId, reader.GetFieldValue<string?[]>(1));
            if (!reader.IsDBNull(2)) exceptions[reader.GetInt32(2)] = ExceptionOf(reader);
        }
        if (current is { } end) Finish(end);
        return entries;

        void Finish((string UserId, string?[] Vars) person)
        {
            entries.Add(new LedgerEntry(person.UserId, person.Vars, [.. chunks.Select(c => c.Fold(exceptions.GetValueOrDefault(c.ChannelNo), places.GetValueOrDefault(person.UserId, -1)))]));
            exceptions.Clear();
        }
    }

    /// <summary>The places of the people in a chunk of which results are being taken: a few hundred.</summary>
    private async Task<Dictionary<string, int>> PlacesAsync(LedgerChunk chunk, CancellationToken ct)
    {
        // recipients' key
        await using var command = new NpgsqlCommand("SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id >= $2 AND user_id <= $3 ORDER BY user_id", connection)
        {
            Parameters = { new() { Value = batchId }, new() { Value = chunk.FirstUser }, new() { Value = chunk.LastUser } },
        };
        var places = new Dictionary<string, int>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) places.Add(reader.GetString(0), places.Count);
        return places;
    }

    private static LedgerException ExceptionOf(NpgsqlDataReader reader) => new(reader.GetInt16(3),
        reader.IsDBNull(4) ? null : reader.GetString(4), reader.IsDBNull(5) ? null : reader.GetString(5),
        reader.GetInt16(6), reader.GetInt16(7), reader.GetFieldValue<DateTimeOffset>(8));

    private async Task<IReadOnlyList<LedgerChunk>> ChunksAsync(string where, string user, CancellationToken ct)
    {
        // chunks' key: the rows of one batch, at most a few hundred
        await using var command = new NpgsqlCommand($"""
            SELECT no, channel_no, first_user, last_user, n, base, rest, rest_reason, delivered, failed, skipped, uncertain,
              failed_from, skipped_from, uncertain_from, done_at, results
            FROM chunks WHERE batch_id = $1 AND {where} ORDER BY first_user, no, channel_no -- those of erased people have the highest number and come first
            """, connection) { Parameters = { new() { Value = batchId }, new() { Value = user } } };
        var chunks = new List<LedgerChunk>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            chunks.Add(new LedgerChunk(reader.GetInt32(0), reader.GetInt32(1), reader.GetString(2), reader.GetString(3), reader.GetInt32(4),
                StatusAt(reader, 5), StatusAt(reader, 6), reader.IsDBNull(7) ? null : reader.GetString(7),
                reader.GetInt32(8), reader.GetInt32(9), reader.GetInt32(10), reader.GetInt32(11),
                reader.GetInt16(12), reader.GetInt16(13), reader.GetInt16(14), reader.IsDBNull(15) ? null : reader.GetFieldValue<DateTimeOffset>(15),
                reader.IsDBNull(16) ? null : reader.GetFieldValue<byte[]>(16)));
        }
        return chunks;
    }

    private static MessageStatus? StatusAt(NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : (MessageStatus)reader.GetInt16(column);

    private async Task<bool> IsCutAsync(CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM chunks WHERE batch_id = $1)", connection) { Parameters = { new() { Value = batchId } } };
        return (bool)(await command.ExecuteScalarAsync(ct))!;
    }

    /// <summary>Before sending starts there are no chunks: one range from end to end, in which everybody is pending.</summary>
    private List<LedgerChunk> NotCut() =>
        [.. channels.Select(no => new LedgerChunk(0, no, "", "", int.MaxValue, null, null, null, 0, 0, 0, 0, 0, 0, 0, null))];
}
