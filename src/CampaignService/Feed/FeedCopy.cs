using CampaignService.Data;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>Gathers feed rows and writes them with one binary COPY, inside the caller's transaction.</summary>
public sealed class FeedCopy : IDisposable
{
    private readonly BinaryCopy _rows = new();

    /// <summary>Ids come from the database and are given with the row: a default made by COPY would be volatile, which makes PostgreSQL insert row by row.</summary>
    public void Add(int appNo, int channelNo, long id, long sourceId, DateTimeOffset? expiresAt, ReadOnlySpan<byte> userId, ReadOnlySpan<byte> vars)
    {
        _rows.StartRow(7);
        _rows.Int32(appNo);
        _rows.Int32(channelNo);
        _rows.Int64(id);
        _rows.Int64(sourceId);
        if (expiresAt is { } time) _rows.TimestampTz(time);
        else _rows.Null();
        _rows.Raw(userId);
        _rows.Raw(vars);
    }

    public async Task WriteAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        _rows.End();
        await using var stream = await connection.BeginRawBinaryCopyAsync(
            "COPY feed_items (app_no, channel_no, id, source_id, expires_at, user_id, vars) FROM STDIN (FORMAT binary)", ct);
        await _rows.FlushToAsync(stream, ct);
    }

    public void Dispose() => _rows.Dispose();
}
