using System.Runtime.CompilerServices;
using CampaignService.Data;
using CampaignService.Users;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Campaigns;

/// <summary>The campaigns that were sent on behalf of one person; erased, they are on nobody's behalf.</summary>
public sealed class SenderRecords(CampaignsDb db) : IPersonalData
{
    public string Kind => "sentCampaigns";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct) => await Sent(person).ExecuteUpdateAsync(c => c.SetProperty(x => x.SenderId, (string?)null), ct);

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        await foreach (var campaign in Sent(person).AsNoTracking().OrderBy(c => c.Id).Select(c => new { c.Id, c.Name }).AsAsyncEnumerable().WithCancellation(ct)) yield return campaign;
    }

    private IQueryable<Campaign> Sent(Person person) => db.Campaigns.Where(c => c.AppNo == person.AppNo && c.SenderId == person.UserId);
}
