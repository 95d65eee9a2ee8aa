namespace CampaignService.Delivery.External;

/// <summary>A chunk of messages to a provider, leased to this process.</summary>
/// <param name="N">How many people are in it.</param>
/// <param name="Starts">How often it was begun without a result, this time counted.</param>
/// <param name="Run">The pass over its recipients, 0 for the first.</param>
/// <param name="Base">What it says of all.</param>
/// <param name="Rest">What it says of those left.</param>
/// <param name="Results">By place in it, see <see cref="ChunkPass"/>.</param>
/// <param name="Intent">Below this place, those without a result may have been called: not 0 only when its last worker died.</param>
/// <param name="MayBegin">Below this place, calls may begin: that was committed with the claim. 0 where it is to be done first.</param>
/// <param name="Token">The fence.</param>
/// <param name="ClaimedAt">When the claim was sent, by this process's own counter: its lease may have begun then.</param>
internal sealed record ExternalClaim(
    long BatchId, int No, int ChannelNo, int AppNo, short Lane, int N, string FirstUser, string LastUser, short Starts, short Run, short? Base, short? Rest,
    byte[]? Results, int Intent, int MayBegin, int Delivered, int Failed, int Skipped, int Uncertain, Guid Token, long ClaimedAt)
{
    public bool IsDirect => Lane == Lanes.ExternalDirect;
}

/// <summary>A person in a chunk. Thousands wait in memory, and whatever of them is an object is moved by every garbage collection: their values stay as they came.</summary>
/// <param name="Vars">Their values, see <see cref="Data.BinaryTextArray"/>.</param>
/// <param name="Noted">What is noted of them.</param>
/// <param name="IsGone">They are not to be reached by this channel any more.</param>
internal readonly record struct ChunkPerson(string UserId, byte[] Vars, PersonException Noted, bool IsGone);

/// <summary>What is noted of a person in a chunk.</summary>
/// <param name="Status">Of their exception, as stored; null when there is none.</param>
/// <param name="Attempts">How often it was tried.</param>
/// <param name="IsReopened">The exception is of an earlier pass, or waits for a retry: pending, seen from outside.</param>
/// <param name="DueIn">When they are to be tried again by themselves.</param>
internal sealed record PersonException(short? Status, short Attempts, bool IsReopened, TimeSpan? DueIn)
{
    public static readonly PersonException None = new(null, 0, IsReopened: false, null);
}

/// <summary>Somebody to be sent to in this pass.</summary>
internal readonly record struct ChunkTarget(int Place, ChunkPerson Person)
{
    /// <summary>They may have got it already, and are counted so until it is known.</summary>
    public bool WasUncertain => Person.Noted is { Status: (short)MessageStatus.Uncertain, IsReopened: false };
}

/// <summary>What is to be noted of a person who was not simply served.</summary>
/// <param name="After">When they are tried again by themselves; null: not.</param>
internal sealed record PersonNote(string UserId, short Status, string? Reason, string? Detail, short Attempts, TimeSpan? After);

/// <summary>The state of a pass as of one moment, to be written as a whole: absolute, so that writing it twice does no harm.</summary>
/// <param name="Fresh">How many of the results are new.</param>
internal sealed record PassState(
    byte[]? Results, int Intent, int Delivered, int Failed, int Skipped, int Uncertain, IReadOnlyList<PersonNote> Notes, int Fresh, short? Base);

/// <summary>How a turn at a chunk ends.</summary>
/// <param name="State">Of the chunk from then on: 1 ready, 4 closed, 5 waiting.</param>
/// <param name="RetryIn">For how long it waits.</param>
internal sealed record PassEnd(short State, TimeSpan? RetryIn = null);

/// <summary>What the database says when something is noted.</summary>
/// <param name="BatchState">The batch's state.</param>
/// <param name="RatePerSecond">The batch's limit.</param>
/// <param name="IsRecalled">Somebody needs the chunk.</param>
internal sealed record NoteAnswer(BatchState BatchState, double? RatePerSecond, bool IsRecalled);
