using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Webhooks;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Notifications;

/// <summary>What events say of notifications to few. Those are complete when they are made, and never change.</summary>
public sealed class NotificationSubjects(CampaignsDb db, NotificationViews views) : IEventSubjects
{
    public bool Owns(EventType type) => type is EventType.NotificationCreated or EventType.NotificationCompleted;

    public async ValueTask<IReadOnlyDictionary<long, RawJson>> DescribeAsync(int appNo, IReadOnlyList<EventRow> events, CancellationToken ct)
    {
        var ids = events.Select(e => e.Subject!.Value).Distinct().ToArray();
        var found = await db.Notifications.AsNoTracking().Where(n => n.AppNo == appNo && ids.Contains(n.Id)).ToListAsync(ct);
        var byId = (await views.AsSentAsync(found, ct)).Zip(found).ToDictionary(pair => pair.Second.Id, pair => new RawJson(JsonSerializer.SerializeToUtf8Bytes(pair.First, Json.Options)));
        return events.Where(e => byId.ContainsKey(e.Subject!.Value)).ToDictionary(e => e.Seq, e => byId[e.Subject!.Value]);
    }
}
