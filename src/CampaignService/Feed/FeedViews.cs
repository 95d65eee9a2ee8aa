using System.Buffers;
using CampaignService.Common;
using CampaignService.Data;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Feed;

/// <summary>Puts feed items together, a page at a time: their text from the pinned template version, which is cached, and one query for the templates as they are now.</summary>
public sealed class FeedViews(CampaignsDb db, IEnumerable<IFeedSources> kinds)
{
    private sealed record TemplateNow(string Slug, string? Category, string? Label, string[] Tags);

    public async Task<FeedItemView> OfAsync(int appNo, FeedRow row, CancellationToken ct) => (await OfAsync(appNo, [row], ct))[0];

    /// <param name="appNo">The app of them all.</param>
    /// <param name="rows">Of any of its users.</param>
    /// <param name="ct">Gives up.</param>
    public async Task<IReadOnlyList<FeedItemView>> OfAsync(int appNo, IReadOnlyList<FeedRow> rows, CancellationToken ct)
    {
        if (rows.Count == 0) return [];
        var sources = await SourcesAsync(appNo, rows, ct);
        var ids = sources.Values.Select(s => s.TemplateId).Distinct().ToArray();
        var templates = await db.Templates.AsNoTracking().Where(t => t.AppNo == appNo && ids.Contains(t.Id))
            .ToDictionaryAsync(t => t.Id, t => new TemplateNow(t.TemplateId, t.Category, t.Label, t.Tags), ct);
        return [.. rows.Select(r => Of(r, sources[r.SourceId], templates[sources[r.SourceId].TemplateId]))];
    }

    private static FeedItemView Of(FeedRow row, FeedSource source, TemplateNow template)
    {
        var channel = source.Channels[row.ChannelNo];
        var content = new ArrayBufferWriter<byte>();
        channel.Template.Render(content, row.Vars);
        return new FeedItemView(row.PublicId, source.NotificationId, source.CampaignId, template.Slug, source.TemplateVersion, channel.ChannelId, channel.Type,
            template.Category, template.Label, template.Tags, new RawJson(content.WrittenMemory), row.Status, row.SentAt, row.DeliveredAt, row.ReadAt, row.EngagedAt);
    }

    /// <returns>By id, the source of each row.</returns>
    public async Task<Dictionary<long, FeedSource>> SourcesAsync(int appNo, IEnumerable<FeedRow> rows, CancellationToken ct)
    {
        HashSet<long> ids = [.. rows.Select(r => r.SourceId)];
        var found = new Dictionary<long, FeedSource>();
        foreach (var kind in kinds)
        {
            if (ids.Count == 0) break;
            foreach (var (id, source) in await kind.FindAsync(appNo, ids, ct)) found[id] = source;
            ids.ExceptWith(found.Keys);
        }
        return ids.Count == 0 ? found : throw new InvalidOperationException($"Feed items name the source {ids.First()}, which nobody knows; sources must outlive their items.");
    }
}
