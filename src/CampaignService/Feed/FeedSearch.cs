using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;
using CampaignService.Users;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Feed;

/// <summary>A page of a feed.</summary>
/// <param name="Rows">Newest first.</param>
/// <param name="Next">The next page begins below this id; null at the end.</param>
public sealed record FeedPage(IReadOnlyList<FeedRow> Rows, long? Next);

/// <summary>
/// Finds the items that a query asks for. What stands in the rows the database looks at; category and tags are those of the template as it
/// is now, which no row names, so they are looked at here, block by block along the feed's key.
/// </summary>
public sealed class FeedSearch(CampaignsDb db, FeedReader reader, FeedViews views)
{
    /// <summary>
    /// The most rows that one request passes over. Who looks for what is rarer than that gets a page that is not full, perhaps empty, with a
    /// cursor that goes on from there.
    /// </summary>
    public const int MostRows = 5_000;

    private const int BlockRows = 500;

    public async Task<FeedPage> PageAsync(Person person, FeedQuery query, long before, CancellationToken ct)
    {
        var channelNo = await ChannelNoAsync(person, query.ChannelId, ct);
        var templates = await TemplatesAsync(person, query, ct);
        // Nothing can fit, so that nothing needs to be looked at.
        if ((query.ChannelId is not null && channelNo is null) || templates is { Count: 0 }) return new FeedPage([], null);

        var filter = new FeedFilter(query.DateFrom, query.DateTo, query.Unread, channelNo);
        var found = new List<FeedRow>();
        // The first block is the page, if nothing is left out.
        var block = query.Limit + 1;
        for (var left = MostRows; left > 0; block = Math.Min(BlockRows, left))
        {
            var walked = await reader.WalkAsync(person, filter, before, block, ct);
            found.AddRange(await WithTemplatesAsync(person, [.. walked.Select(w => w.Row).OfType<FeedRow>()], templates, ct));
            if (found.Count > query.Limit) return new FeedPage(found[..query.Limit], found[query.Limit - 1].Id);
            if (walked.Count < block) return new FeedPage(found, null);
            before = walked[^1].Id;
            left -= walked.Count;
        }
        return new FeedPage(found, before);
    }

    private async Task<int?> ChannelNoAsync(Person person, string? channelId, CancellationToken ct) => channelId is null ? null
        : await db.Channels.Where(c => c.AppNo == person.AppNo && (c.Id == channelId || c.ChannelId == channelId)).Select(c => (int?)c.No).FirstOrDefaultAsync(ct);

    /// <returns>The templates whose items are asked for; null when any will do.</returns>
    private async Task<HashSet<string>?> TemplatesAsync(Person person, FeedQuery query, CancellationToken ct)
    {
        var tags = Text.Listed(query.Tags);
        if (query.TemplateCategory is null && tags.Length == 0) return null;
        var templates = db.Templates.Where(t => t.AppNo == person.AppNo).OfCategory(db, query.TemplateCategory).Tagged(tags, query.TagMatch);
        return await templates.Select(t => t.Id).ToHashSetAsync(ct);
    }

    private async Task<IEnumerable<FeedRow>> WithTemplatesAsync(Person person, IReadOnlyList<FeedRow> rows, HashSet<string>? templates, CancellationToken ct)
    {
        if (templates is null || rows.Count == 0) return rows;
        var sources = await views.SourcesAsync(person.AppNo, rows, ct);
        return rows.Where(r => templates.Contains(sources[r.SourceId].TemplateId));
    }
}
