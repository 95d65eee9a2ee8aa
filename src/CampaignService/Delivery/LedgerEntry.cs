namespace CampaignService.Delivery;

/// <summary>One recipient of a batch and what became of the message on each channel.</summary>
public sealed record LedgerEntry(string UserId, string?[] Vars, IReadOnlyList<LedgerMessage> Messages)
{
    private static readonly MessageStatus[] Precedence =
        [MessageStatus.Delivered, MessageStatus.Uncertain, MessageStatus.Pending, MessageStatus.Failed, MessageStatus.Skipped];

    /// <summary>Over several channels: delivered if any is, else the first of uncertain, pending, failed, skipped that any is.</summary>
    public MessageStatus Status => Precedence.First(s => Messages.Any(m => m.Status == s));
}

/// <summary>What became of one message.</summary>
public sealed record LedgerMessage(int ChannelNo, MessageStatus Status, string? Reason, string? Detail, int Attempts, DateTimeOffset? At);

/// <summary>What a chunk's row says about those of its recipients for whom no exception stands.</summary>
internal sealed record LedgerChunk(
    int No, int ChannelNo, string FirstUser, string LastUser, int N, MessageStatus? Base, MessageStatus? Rest, string? RestReason,
    int Delivered, int Failed, int Skipped, int Uncertain, short FailedFrom, short SkippedFrom, short UncertainFrom, DateTimeOffset? DoneAt, byte[]? Results = null)
{
    public int CountOf(MessageStatus status) => status switch
    {
        MessageStatus.Delivered => Delivered,
        MessageStatus.Failed => Failed,
        MessageStatus.Skipped => Skipped,
        MessageStatus.Uncertain => Uncertain,
        _ => N - Delivered - Failed - Skipped - Uncertain,
    };

    /// <summary>
    /// The rule that gives every message its status: its exception, which is pending if a later pass took it up again; else its result, where
    /// there are results by place; else what the chunk says of all, else what it says of the rest; else it is pending.
    /// </summary>
    /// <param name="exception">What is noted of the person.</param>
    /// <param name="place">The person's place in the chunk, where it has results.</param>
    public LedgerMessage Fold(LedgerException? exception, int place = -1)
    {
        if (exception is not null && exception.Run >= ReopenedFrom(exception.Status))
        {
            var status = exception.Status == LedgerException.Retry ? MessageStatus.Pending : (MessageStatus)exception.Status;
            return new LedgerMessage(ChannelNo, status, exception.Reason, exception.Detail, exception.Attempts, exception.At);
        }
        if (exception is not null) return new LedgerMessage(ChannelNo, MessageStatus.Pending, null, null, exception.Attempts, null);
        if (Results is not null && place >= 0 && place < Results.Length && Results[place] == External.ChunkPass.Delivered) return new LedgerMessage(ChannelNo, MessageStatus.Delivered, null, null, 1, DoneAt);
        if (Base is { } all) return new LedgerMessage(ChannelNo, all, null, null, all == MessageStatus.Delivered ? 1 : 0, DoneAt);
        return Rest is { } rest
            ? new LedgerMessage(ChannelNo, rest, RestReason, null, 0, DoneAt)
            : new LedgerMessage(ChannelNo, MessageStatus.Pending, null, null, 0, null);
    }

    private short ReopenedFrom(short status) => (MessageStatus)status switch
    {
        MessageStatus.Failed => FailedFrom,
        MessageStatus.Skipped => SkippedFrom,
        MessageStatus.Uncertain => UncertainFrom,
        _ => 0,
    };
}

/// <summary>A row of <c>recipient_exceptions</c>.</summary>
internal sealed record LedgerException(short Status, string? Reason, string? Detail, short Attempts, short Run, DateTimeOffset At)
{
    /// <summary>Waiting for another attempt: pending, seen from outside.</summary>
    public const short Retry = 6;
}
