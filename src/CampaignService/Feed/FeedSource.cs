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
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="Type">The channel's type.</param>
/// <param name="Template">The content.</param>
/// <param name="RetentionHours">For how long its items stay in feeds; 0 = for ever.</param>
public sealed record FeedChannel(string ChannelId, ChannelType Type, BoundTemplate Template, int RetentionHours)
{
    /// <summary>When an item of this id expires. All processes agree on it: the id carries the database's time of sending.</summary>
    public DateTimeOffset? ExpiryOf(long itemId) => RetentionHours == 0 ? null : FeedTime.Of(itemId).AddHours(RetentionHours);
}

/// <summary>Finds what the <c>source_id</c> of feed items stands for. Whoever writes feed items offers one.</summary>
public interface IFeedSources
{
    /// <returns>By id; those that are not of this kind are not in it.</returns>
    ValueTask<IReadOnlyDictionary<long, FeedSource>> FindAsync(int appNo, IReadOnlyCollection<long> ids, CancellationToken ct);
}
