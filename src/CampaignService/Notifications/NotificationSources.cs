using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Feed;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Caching.Memory;

namespace CampaignService.Notifications;

/// <summary>What notifications to few say: a query for those on a page, and their template versions, compiled once and kept, for these are many times fewer.</summary>
public sealed class NotificationSources(IServiceScopeFactory scopes) : IFeedSources, IDisposable
{
    private readonly MemoryCache _versions = new(new MemoryCacheOptions { SizeLimit = 1000 });

    private sealed record Content(string[] VarNames, IReadOnlyDictionary<int, FeedChannel> Channels);

    public async ValueTask<IReadOnlyDictionary<long, FeedSource>> FindAsync(int appNo, IReadOnlyCollection<long> ids, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var rows = await db.Notifications.AsNoTracking().Where(n => n.AppNo == appNo && ids.Contains(n.Id) && n.UserIds.Length > 0)
            .Select(n => new { n.Id, n.TemplateId, n.TemplateVersion }).ToListAsync(ct);
        var found = new Dictionary<long, FeedSource>();
        foreach (var row in rows)
        {
            var content = await ContentAsync(db, row.TemplateId, row.TemplateVersion, ct);
            found[row.Id] = new FeedSource(Ids.FromNumber(Ids.Notification, row.Id), null, row.TemplateId, row.TemplateVersion, content.VarNames, content.Channels);
        }
        return found;
    }

    public void Dispose() => _versions.Dispose();

    private async ValueTask<Content> ContentAsync(CampaignsDb db, string templateId, int version, CancellationToken ct)
    {
        if (_versions.TryGetValue((templateId, version), out Content? known)) return known!;
        var pinned = await db.PinnedVersionAsync(templateId, version, ct);
        var schema = new VariableSchema(pinned.Content.VariableSchema);
        return _versions.Set((templateId, version), new Content([.. schema.Variables.Select(v => v.Key)],
            pinned.Content.Channels.ToDictionary(c => c.ChannelNo, c => new FeedChannel(c.ChannelId, c.Type, c.BindToSchema(schema), c.MessageRetentionHours))), new MemoryCacheEntryOptions { Size = 1 });
    }
}
