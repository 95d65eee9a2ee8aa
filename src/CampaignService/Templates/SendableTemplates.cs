using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Caching.Memory;

namespace CampaignService.Templates;

/// <summary>A template version that may be sent, compiled and bound to its own variables, so that a value stands at its variable's place in the schema.</summary>
/// <param name="Version">The version.</param>
/// <param name="Slug">The template's <c>templateId</c>.</param>
/// <param name="Schema">Its variables.</param>
/// <param name="Channels">Its channels, the disabled ones too; at least one is enabled.</param>
public sealed record SendableTemplate(TemplateVersion Version, string Slug, VariableSchema Schema, IReadOnlyList<SendableChannel> Channels)
{
    /// <summary>Those that it goes by.</summary>
    public IReadOnlyList<SendableChannel> Enabled { get; } = [.. Channels.Where(c => c.Channel.Enabled)];

    /// <summary>Their numbers as PostgreSQL writes an array.</summary>
    public string EnabledNumbers { get; } = $"{{{string.Join(',', Channels.Where(c => c.Channel.Enabled).Select(c => c.Channel.No))}}}";

    /// <summary>Whether it also goes to servers of others.</summary>
    public bool GoesOut { get; } = Channels.Any(c => c.Channel.Enabled && c.Channel.Type != ChannelType.InApp);

    /// <summary>What everybody needs a value of.</summary>
    public IReadOnlyList<BoundVariable> Required { get; } = [.. Channels.Where(c => c.Channel.Enabled).SelectMany(c => c.Template.Requirements).DistinctBy(v => v.Key)];
}

/// <summary>What a template version says by one channel.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Template">The content.</param>
/// <param name="RetentionHours">For how long its items stay in feeds; 0 = for ever.</param>
public sealed record SendableChannel(Channel Channel, BoundTemplate Template, int RetentionHours);

/// <summary>
/// Templates for direct sends, kept for a second so that a send does not cost three queries. What this process changes is in force at once,
/// what another changes within that second.
/// </summary>
public sealed class SendableTemplates(IServiceScopeFactory scopes, ContentChanges changes, TimeProvider clock) : IDisposable
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly MemoryCache _cache = new(new MemoryCacheOptions { SizeLimit = 1000 });

    private sealed record Entry(SendableTemplate Template, long ReadAt, int Changes)
    {
        private bool _isBeingReadAgain;

        /// <returns>True once.</returns>
        public bool MayReadAgain() => !Interlocked.Exchange(ref _isBeingReadAgain, true);
    }

    /// <param name="app">The app.</param>
    /// <param name="idOrSlug">The template.</param>
    /// <param name="version">A version of it; the newest approved one when left out.</param>
    /// <param name="ct">Stops it.</param>
    /// <exception cref="ApiException">404: there is none. 409: it is not approved, or none of its channels is enabled.</exception>
    public async ValueTask<SendableTemplate> FindAsync(CurrentApp app, string idOrSlug, int? version, CancellationToken ct)
    {
        var (key, count) = ((app.No, idOrSlug, version), changes.CountOf(app.No));
        if (_cache.TryGetValue(key, out Entry? known) && known!.Changes == count && clock.GetElapsedTime(known.ReadAt) is var age && age < Fresh)
        {
            if (age > Fresh / 2 && known.MayReadAgain()) _ = ReadAgainAsync(app, idOrSlug, version, count);
            return known.Template;
        }
        return await ReadAsync(app, idOrSlug, version, count, ct);
    }

    public void Dispose() => _cache.Dispose();

    private async Task<SendableTemplate> ReadAsync(CurrentApp app, string idOrSlug, int? version, int changes, CancellationToken ct)
    {
        var readAt = clock.GetTimestamp();
        var template = await LoadAsync(app, idOrSlug, version, ct);
        _cache.Set((app.No, idOrSlug, version), new Entry(template, readAt, changes), new MemoryCacheEntryOptions { Size = 1 });
        return template;
    }

    /// <summary>Before it is old, so that of those who send all the time nobody waits for it.</summary>
    private async Task ReadAgainAsync(CurrentApp app, string idOrSlug, int? version, int changes)
    {
        try
        {
            await ReadAsync(app, idOrSlug, version, changes, CancellationToken.None);
        }
        catch (Exception)
        {
            // Archived, or the database is away: whoever comes when it is old is told.
        }
    }

    private async Task<SendableTemplate> LoadAsync(CurrentApp app, string idOrSlug, int? version, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var template = await db.FindTemplateAsync(app, idOrSlug, ct);
        var found = await db.FindVersionAsync(template, version, ct);
        if (template.Status == TemplateStatus.Archived) throw new ApiException(Errors.TemplateArchived(template.TemplateId));
        if (found.ApprovedAt is null) throw new ApiException(Errors.TemplateNotApproved(template.TemplateId, found.Version));
        var numbers = found.Content.Channels.Select(c => c.ChannelNo).ToArray();
        var channels = await db.Channels.AsNoTracking().Where(c => numbers.Contains(c.No)).ToDictionaryAsync(c => c.No, ct);
        if (!channels.Values.Any(c => c.Enabled)) throw new ApiException(Errors.NoEnabledChannel(template.TemplateId));
        var schema = new VariableSchema(found.Content.VariableSchema);
        return new SendableTemplate(found, template.TemplateId, schema,
            [.. found.Content.Channels.Select(c => new SendableChannel(channels[c.ChannelNo], c.BindToSchema(schema), c.MessageRetentionHours))]);
    }
}
