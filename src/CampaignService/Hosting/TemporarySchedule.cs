using System.Data.Common;
using CampaignService.Scheduling;
namespace CampaignService.Hosting;
public sealed class TemporarySchedule : ICampaignSchedule
{
    public Task SetAsync(string campaignId, CampaignMoment moment, DateTimeOffset at, DbTransaction transaction, CancellationToken ct) => Task.CompletedTask;
    public Task RemoveAsync(string campaignId, CampaignMoment moment, DbTransaction transaction, CancellationToken ct) => Task.CompletedTask;
}
