using Npgsql;

namespace CampaignService.Delivery.External;

/// <summary>
/// Start times for messages under one limit, evenly spaced and shared by all processes through the database: no window has an edge at which
/// twice as many could start. It hands out times and waits for nobody: whoever has one waits for itself.
/// </summary>
/// <param name="source">Where the slots are kept.</param>
/// <param name="scope">What is limited: a channel or a batch.</param>
/// <param name="clock">The database's time.</param>
internal sealed class RateSlots(NpgsqlDataSource source, string scope, TimeProvider clock) : IDisposable
{
    /// <summary>As much is taken at once; what is taken and not used is lost to all.</summary>
    private static readonly TimeSpan AtOnce = TimeSpan.FromMilliseconds(50);

    /// <summary>What is a little late, as on a busy machine, still begins: what is dropped is lost to all.</summary>
    private static readonly TimeSpan Latest = TimeSpan.FromMilliseconds(500);

    private readonly SemaphoreSlim _turn = new(1, 1);
    private double? _perSecond;
    private TimeSpan _spacing;
    private DateTimeOffset _next;
    private int _left, _version;

    /// <summary>Counts the changes of the limit: a slot of an older one is not to be waited for.</summary>
    public int Version => Volatile.Read(ref _version);

    /// <summary>Whether the time of a slot is so long over that what begins now would crowd those whose time it is.</summary>
    public bool IsOver(DateTimeOffset at) => at < clock.GetUtcNow() - Latest;

    /// <summary>Messages a second; null = no limit. Changed at any time.</summary>
    public double? PerSecond
    {
        get => _perSecond;
        set
        {
            if (_perSecond == value) return;
            _perSecond = value;
            Interlocked.Increment(ref _version);
        }
    }

    /// <summary>The time at which so many messages may start together: that of the last of their slots.</summary>
    public async Task<DateTimeOffset> TakeAsync(int count, CancellationToken ct)
    {
        await _turn.WaitAsync(ct);
        try
        {
            var at = DateTimeOffset.MinValue;
            for (; count > 0 && PerSecond is { } rate; count--)
            {
                // Rounded up: a thousandth of a microsecond too little would let one too many into the second.
                while (_left > 0 && IsOver(_next)) (_next, _left) = (_next + _spacing, _left - 1);
                var spacing = TimeSpan.FromMicroseconds(Math.Ceiling(1_000_000 / rate));
                if (_left == 0 || spacing != _spacing) await ReserveAsync(spacing, Math.Max(count, (int)(AtOnce / spacing)), ct);
                (at, _next, _left) = (_next, _next + _spacing, _left - 1);
            }
            return at;
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private async Task ReserveAsync(TimeSpan spacing, int count, CancellationToken ct)
    {
        count = Math.Max(count, 1);
        // rate_slots' key. After a change the next start is one new space behind the last one, if that has been or is about to be; who waits for one that comes later
        // drops it. A process that has not heard of the change yet may still use what it took at once.
        await using var command = source.CreateCommand("""
            INSERT INTO rate_slots AS s (scope, next_at, spacing) VALUES ($1, clock_timestamp() + $2 * $3, $2)
            ON CONFLICT (scope) DO UPDATE SET spacing = $2, next_at = $2 * $3 + greatest(clock_timestamp(),
              CASE WHEN s.spacing = $2 THEN s.next_at ELSE least(s.next_at - s.spacing, clock_timestamp() + $4) + $2 END)
            RETURNING next_at - $2 * $3
            """);
        command.Parameters.Add(new() { Value = scope });
        command.Parameters.Add(new() { Value = spacing });
        command.Parameters.Add(new() { Value = (double)count });
        command.Parameters.Add(new() { Value = AtOnce });
        var first = new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(ct))!);
        (_spacing, _next, _left) = (spacing, first, count);
    }
}
