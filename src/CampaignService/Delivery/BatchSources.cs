using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Feed;
using CampaignService.Templates;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Caching.Memory;

namespace CampaignService.Delivery;

/// <summary>
/// The content of batches that are being sent or were, compiled and bound once and kept: it is immutable from the moment sending starts,
/// before which nobody asks.
/// </summary>
public sealed class BatchSources(IServiceScopeFactory scopes) : IFeedSources, IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions { SizeLimit = 2000 });

    public async ValueTask<IReadOnlyDictionary<long, FeedSource>> FindAsync(int appNo, IReadOnlyCollection<long> ids, CancellationToken ct)
    {
        var found = new Dictionary<long, FeedSource>();
        foreach (var id in ids)
        {
            if (_cache.TryGetValue(id, out FeedSource? known)) found[id] = known!;
        }
        if (found.Count == ids.Count) return found;
        // One query for what is not known: most of it are ids of another kind.
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        long[] unknown = [.. ids.Where(id => !found.ContainsKey(id))];
        foreach (var id in await db.Batches.Where(b => unknown.Contains(b.Id)).Select(b => b.Id).ToListAsync(ct)) found[id] = (await FindAsync(id, ct))!;
        return found;
    }

    public async ValueTask<FeedSource?> FindAsync(long sourceId, CancellationToken ct)
    {
        if (_cache.TryGetValue(sourceId, out FeedSource? known)) return known;
        var loaded = await LoadAsync(sourceId, ct);
        return loaded is null ? null : _cache.Set(sourceId, loaded, new MemoryCacheEntryOptions { Size = 1, SlidingExpiration = TimeSpan.FromMinutes(30) });
    }

    public void Dispose() => _cache.Dispose();

    private async Task<FeedSource?> LoadAsync(long batchId, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var batch = await db.Batches.AsNoTracking().FirstOrDefaultAsync(b => b.Id == batchId, ct);
        if (batch is null) return null;
        var version = await db.PinnedVersionAsync(batch.TemplateId, batch.TemplateVersion, ct);
        var schema = new VariableSchema(version.Content.VariableSchema);
        var channels = version.Content.Channels.ToDictionary(c => c.ChannelNo, c => new FeedChannel(
            c.ChannelId, c.Type, CompiledTemplate.Compile(c.Content.GetRawText(), schema).Bind(batch.VarNames, batch.Variables), c.MessageRetentionHours));
        return new FeedSource(Ids.FromNumber(Ids.Notification, batch.Id), batch.Kind == BatchKind.Campaign ? batch.OwnerId : null,
            batch.TemplateId, batch.TemplateVersion, batch.VarNames, channels);
    }
}
