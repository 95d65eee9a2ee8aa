using CampaignService.Channels;
using CampaignService.Templates;

namespace CampaignService.Feed;

/// <summary>What all feed items of one source have in common. Immutable: it is settled when sending starts.</summary>
/// <param name="NotificationId">The source's own id, as callers see it.</param>
/// <param name="CampaignId">The campaign behind it, if one is.</param>
/// <param name="TemplateId">The internal id of the template.</param>
/// <param name="TemplateVersion">Its pinned version.</param>
/// <param name="VarNames">The names of the values that stand in the items, by position.</param>
/// <param name="Channels">By channel number, the content bound to the source's own values.</param>
public sealed record FeedSource(
    string NotificationId, string? CampaignId, string TemplateId, int TemplateVersion, IReadOnlyList<string> VarNames, IReadOnlyDictionary<int, FeedChannel> Channels);

/// <summary>The content of a source on one channel.</summary>
public sealed record FeedChannel(string ChannelId, ChannelType Type, BoundTemplate Template);

/// <summary>Finds what the <c>source_id</c> of feed items stands for. Whoever writes feed items offers one.</summary>
public interface IFeedSources
{
    /// <returns>By id; those that are not of this kind are not in it.</returns>
    ValueTask<IReadOnlyDictionary<long, FeedSource>> FindAsync(int appNo, IReadOnlyCollection<long> ids, CancellationToken ct);
}
