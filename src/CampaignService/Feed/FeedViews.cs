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
        var sources = await SourcesAsync(rows, ct);
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
    public async Task<Dictionary<long, FeedSource>> SourcesAsync(IEnumerable<FeedRow> rows, CancellationToken ct)
    {
        var sources = new Dictionary<long, FeedSource>();
        foreach (var id in rows.Select(r => r.SourceId).Distinct()) sources[id] = await FindSourceAsync(id, ct);
        return sources;
    }

    private async ValueTask<FeedSource> FindSourceAsync(long id, CancellationToken ct)
    {
        foreach (var kind in kinds)
        {
            if (await kind.FindAsync(id, ct) is { } source) return source;
        }
        throw new InvalidOperationException($"Feed items name the source {id}, which nobody knows; sources must outlive their items.");
    }
}
