using CampaignService.Idempotency;
using CampaignService.Templates;

namespace CampaignService.Notifications;

/// <summary>A notification on its way into the database.</summary>
/// <param name="Template">What it says.</param>
/// <param name="Tag">Its tag.</param>
/// <param name="UserIds">Whom it goes to, each once.</param>
/// <param name="Values">For each of them the values by the places of the variables in the schema.</param>
/// <param name="Duplicates">How often one was named again.</param>
/// <param name="Request">The key it came with.</param>
/// <param name="Answer">Makes the answer, given its id.</param>
public sealed record PendingNotification(
    SendableTemplate Template, string? Tag, IReadOnlyList<string> UserIds, IReadOnlyList<string?[]> Values, int Duplicates, IdempotentRequest? Request, Func<long, byte[]> Answer)
{
    /// <summary>Given once, and kept when it is tried again.</summary>
    public long Id { get; private set; }

    public byte[] AnswerBody { get; private set; } = [];

    /// <summary>About how large its values are.</summary>
    public long Bytes { get; } = Values.Sum(of => of.Sum(value => (value?.Length ?? 0) + 4L));

    public TaskCompletionSource<StoredNotification> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Name(long id)
    {
        if (Id == 0) (Id, AnswerBody) = (id, Answer(id));
    }
}

/// <summary>A notification that is committed.</summary>
/// <param name="Answer">What to tell the caller.</param>
/// <param name="Replayed">It repeats one that was sent before; nothing was sent now.</param>
public sealed record StoredNotification(KeptAnswer Answer, bool Replayed);

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
