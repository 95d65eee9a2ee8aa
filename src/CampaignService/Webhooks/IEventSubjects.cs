using CampaignService.Common;

namespace CampaignService.Webhooks;

/// <summary>
/// Puts the data of events together that are kept without it, by what they name: so a send or a mark writes no text, and what is erased is
/// in no event either.
/// </summary>
public interface IEventSubjects
{
    bool Owns(EventType type);

    /// <summary>The objects as they were at the time of each event.</summary>
    /// <returns>By <see cref="EventRow.Seq"/>; what is gone is not in it.</returns>
    ValueTask<IReadOnlyDictionary<long, RawJson>> DescribeAsync(int appNo, IReadOnlyList<EventRow> events, CancellationToken ct);
}
