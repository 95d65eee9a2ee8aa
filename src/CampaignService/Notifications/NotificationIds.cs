namespace CampaignService.Notifications;

/// <summary>
/// Ids for notifications: numbers in a block that the database has given, so that they carry its time. Blocks are renewed with each
/// write, and none is used after a second, so that a list by id is one by time. For one thread.
/// </summary>
public sealed class NotificationIds
{
    private const int BlockSize = 2048;
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private long _next;
    private long _end;
    private long _renewedAt;

    public bool Has(int count, TimeProvider clock) => _end - _next >= count && clock.GetElapsedTime(_renewedAt) < Fresh;

    public void Renew(long block, TimeProvider clock) => (_next, _end, _renewedAt) = (block, block + BlockSize, clock.GetTimestamp());

    public long Take() => _next < _end ? _next++ : throw new InvalidOperationException("No id is left in the block.");
}
