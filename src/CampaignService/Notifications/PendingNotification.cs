using CampaignService.Data;
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
    private readonly TaskCompletionSource<StoredNotification> _told = new();
    private StoredNotification? _stored;
    private byte[]? _answer;
    private bool _isWritten;

    /// <summary>Given once, and kept when it is tried again.</summary>
    public long Id { get; private set; }

    /// <summary>Made when it is asked for, once it has an id: where no key needs it, that is behind the commit and in another thread than the writer's.</summary>
    public byte[] AnswerBody => _answer ??= Answer(Id);

    /// <summary>As they are written: made by the request, while others are being written, and not by the writer, for whom all wait.</summary>
    public (string UserIds, string[] Each, string All) Texts { get; } = TextsOf(UserIds, Values);

    /// <summary>About how large its values are.</summary>
    public long Bytes { get; } = Values.Sum(of => of.Sum(value => (value?.Length ?? 0) + 4L));

    /// <summary>What came of it, once it is told.</summary>
    public Task<StoredNotification> Done => _told.Task;

    public bool IsSettled => _isWritten || _stored is not null || Fault is not null;

    /// <summary>Why it was not written.</summary>
    public Exception? Fault { get; private set; }

    /// <summary>It is written now.</summary>
    public void Settle() => _isWritten = true;

    /// <summary>It was written before, or its key belongs to another.</summary>
    public void Settle(StoredNotification stored) => _stored = stored;

    public void Settle(Exception fault) => Fault = fault;

    /// <summary>Lets its request go on, in the caller's thread.</summary>
    public void Tell()
    {
        if (_isWritten) _told.TrySetResult(new StoredNotification(new KeptAnswer(200, AnswerBody), Replayed: false));
        else if (_stored is not null) _told.TrySetResult(_stored);
        else _told.TrySetException(Fault ?? new InvalidOperationException($"Nothing is known of notification {Id}."));
    }

    public void Name(long id)
    {
        if (Id == 0) Id = id;
    }

    private static (string UserIds, string[] Each, string All) TextsOf(IReadOnlyList<string> userIds, IReadOnlyList<string?[]> values)
    {
        string[] each = [.. values.Select(v => TextArray.Literal(v))];
        return (TextArray.Literal([.. userIds]), each, TextArray.Literal(each));
    }
}

/// <summary>A notification that is committed.</summary>
/// <param name="Answer">What to tell the caller.</param>
/// <param name="Replayed">It repeats one that was sent before; nothing was sent now.</param>
public sealed record StoredNotification(KeptAnswer Answer, bool Replayed);
