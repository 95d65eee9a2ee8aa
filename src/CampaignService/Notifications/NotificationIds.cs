namespace CampaignService.Notifications;

/// <summary>
/// Ids for notifications: numbers in a block that the database has given, so that they carry its time. Blocks are renewed with the writes, some twenty
/// times a second, and none is used after a second, so that a list by id is one by time. One block at a time for all writes of a process, and never an older one.
/// </summary>
public sealed class NotificationIds
{
    private const int BlockSize = 2048;
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1), RenewAfter = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();
    private long _next;
    private long _end;
    private long _renewedAt;

    /// <returns>The first of so many in a row, or null when the block is used up or old.</returns>
    public long? Take(int count, TimeProvider clock)
    {
        lock (_lock)
        {
            if (_end - _next < count || clock.GetElapsedTime(_renewedAt) >= Fresh) return null;
            _next += count;
            return _next - count;
        }
    }

    /// <summary>The next write should ask for another block: to ask costs the database as much as another row.</summary>
    public bool AreWanted(TimeProvider clock)
    {
        lock (_lock) return _end - _next < BlockSize / 2 || clock.GetElapsedTime(_renewedAt) >= RenewAfter;
    }

    public void Renew(long block, TimeProvider clock)
    {
        lock (_lock)
        {
            // Of two writes side by side the one may end later whose block is older.
            if (block >= _end) (_next, _end, _renewedAt) = (block, block + BlockSize, clock.GetTimestamp());
        }
    }
}
