using System.Data.Common;

namespace CampaignService.Scheduling;

/// <summary>
/// The clock of campaigns: at the moment set, some process with the role <c>scheduler</c> calls the delegate given at start-up with the
/// campaign's id. It is a convenience and no guarantee: what is called looks at the campaign itself, and a sweep finds what no clock told.
/// </summary>
public interface ICampaignSchedule
{
    /// <summary>Sets the moment, or moves it. It takes effect when <paramref name="transaction"/> commits, and not at all when that is rolled back.</summary>
    Task SetAsync(string campaignId, CampaignMoment moment, DateTimeOffset at, DbTransaction transaction, CancellationToken ct);

    /// <summary>Takes the moment away, with the transaction; nothing happens when there is none.</summary>
    Task RemoveAsync(string campaignId, CampaignMoment moment, DbTransaction transaction, CancellationToken ct);
}

/// <summary>What a campaign waits for.</summary>
public enum CampaignMoment
{
    Start,
    Stop,
}
