using System.Diagnostics;
using Npgsql;

namespace CampaignService.Data;

/// <summary>
/// The time of the database, not of this machine: processes with wrong clocks agree. Between measurements it runs on the machine's
/// monotonic counter.
/// </summary>
public sealed class DatabaseClock(NpgsqlDataSource source) : TimeProvider
{
    private sealed record Anchor(DateTimeOffset Time, long Stamp);

    private volatile Anchor _anchor = new(System.GetUtcNow(), Stopwatch.GetTimestamp());

    public override DateTimeOffset GetUtcNow()
    {
        var anchor = _anchor;
        return anchor.Time + Stopwatch.GetElapsedTime(anchor.Stamp);
    }

    public async Task MeasureAsync(CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        var before = Stopwatch.GetTimestamp();
        await using var command = new NpgsqlCommand("SELECT clock_timestamp()", connection);
        var time = (DateTime)(await command.ExecuteScalarAsync(ct))!;
        // The server read its clock somewhere between question and answer: half-way is at most half a round trip wrong.
        _anchor = new Anchor(new DateTimeOffset(time) + (Stopwatch.GetElapsedTime(before) / 2), Stopwatch.GetTimestamp());
    }
}
