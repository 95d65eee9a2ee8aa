using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Templates;

/// <summary>Makes and changes templates: finds the channels that their contents are for, and slugs that are free.</summary>
public sealed class TemplateAuthor(CampaignsDb db, CurrentApp app, CategoryAuthor categories, ContentChanges changes, TimeProvider clock)
{
    /// <summary>Each time a slug is lost, another request has won it: only as many requests at once could use these up.</summary>
    private const int SlugAttempts = 100;

    public async Task<Template> CreateAsync(CreateTemplate body, CancellationToken ct)
    {
        if (body.TemplateId is not null && await db.Templates.AnyAsync(t => t.AppNo == app.No && t.TemplateId == body.TemplateId, ct))
        {
            throw new ApiException(Errors.Conflict($"This app has a template '{body.TemplateId}' already. Give another templateId, or leave it out."));
        }
        var metadata = new TemplateMetadata(
            body.Name.Trim(), Text.TrimToNull(body.TemplateCategory), Text.TrimToNull(body.Label), Text.TrimToNull(body.AlternativeText), Tags(body.Tags));
        var content = new TemplateContent(Schema(body.VariableSchema), await ResolveAsync(body.Channels, ct));
        for (var attempt = 1; ; attempt++)
        {
            var now = clock.GetUtcNow();
            var template = Template.Create(app.No, body.TemplateId ?? await FreeSlugAsync(body.Name, ct), metadata, content, now);
            if (body.Status == TemplateStatus.Approved) template.Approve(now);
            db.Add(template);
            await categories.AddMissingAsync(metadata.Category, ct);
            try
            {
                await db.SaveChangesAsync(ct);
                return template;
            }
            catch (DbUpdateException e) when (attempt < SlugAttempts && e.InnerException is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation } lost
                && (body.TemplateId is null || lost.TableName == "categories"))
            {
                db.ChangeTracker.Clear();
            }
        }
    }

    public async Task<Template> EditAsync(string id, EditTemplate body, CancellationToken ct)
    {
        var (template, now) = (await db.FindTemplateWithCurrentAsync(app, id, ct), clock.GetUtcNow());
        var metadata = new TemplateMetadata(
            body.Name?.Trim() ?? template.Name,
            body.TemplateCategory.IsGiven ? Text.TrimToNull(body.TemplateCategory.Value) : template.Category,
            body.Label.IsGiven ? Text.TrimToNull(body.Label.Value) : template.Label,
            body.AlternativeText.IsGiven ? Text.TrimToNull(body.AlternativeText.Value) : template.AlternativeText,
            body.Tags.IsGiven ? Tags(body.Tags.Value) : template.Tags);
        if (metadata.Category != template.Category) await categories.AddMissingAsync(metadata.Category, ct);
        template.Edit(metadata, now);
        if (body.Status == TemplateStatus.Draft) template.RequireDraft();
        var current = template.Current.Content;
        template.ChangeContent(new TemplateContent(
            body.VariableSchema.IsGiven ? Schema(body.VariableSchema.Value) : current.VariableSchema,
            body.Channels is null ? current.Channels : await ResolveAsync(body.Channels, ct)), now);
        if (body.Status == TemplateStatus.Approved) template.Approve(now);
        await db.SaveChangesAsync(ct);
        changes.Made(app.No);
        return template;
    }

    /// <summary>Approves the newest version.</summary>
    public Task<Template> ApproveAsync(string id, CancellationToken ct) => ChangeAsync(id, template => template.Approve(clock.GetUtcNow()), ct);

    public Task<Template> ArchiveAsync(string id, CancellationToken ct) => ChangeAsync(id, template => template.Archive(clock.GetUtcNow()), ct);

    public async Task<TemplateVersion> AddVersionAsync(string id, CreateTemplateVersion? body, CancellationToken ct)
    {
        var template = await db.FindTemplateWithCurrentAsync(app, id, ct);
        template.RequireNotArchived("given a new version");
        var current = template.Current.Content;
        template.AddVersion(new TemplateContent(
            body?.VariableSchema is { } variables ? Schema(variables) : current.VariableSchema,
            body?.Channels is { } channels ? await ResolveAsync(channels, ct) : current.Channels), clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        return template.Current;
    }

    private async Task<Template> ChangeAsync(string id, Action<Template> change, CancellationToken ct)
    {
        var template = await db.FindTemplateWithCurrentAsync(app, id, ct);
        change(template);
        await db.SaveChangesAsync(ct);
        changes.Made(app.No);
        return template;
    }

    /// <summary>Finds the channel of each entry.</summary>
    /// <exception cref="ApiException">404: there is no such channel. 400: it is of another type, named twice, or left open where there is not exactly one.</exception>
    private async Task<List<ChannelContent>> ResolveAsync(IReadOnlyList<ChannelEntry> entries, CancellationToken ct)
    {
        var named = entries.Where(e => e.ChannelId is not null).Select(e => e.ChannelId!.Trim()).ToArray();
        var open = entries.Where(e => e.ChannelId is null).Select(e => e.ChannelType).ToArray();
        var candidates = await db.Channels.AsNoTracking()
            .Where(c => c.AppNo == app.No && (named.Contains(c.Id) || named.Contains(c.ChannelId) || open.Contains(c.Type))).OrderBy(c => c.No).ToListAsync(ct);
        var (found, faults) = (new List<ChannelContent>(), new List<string>());
        for (var i = 0; i < entries.Count; i++)
        {
            var entry = entries[i];
            var channel = entry.ChannelId is null ? OnlyOne(entry.ChannelType, candidates, i, faults) : Named(entry, candidates, i, faults);
            if (channel is null) continue;
            if (found.Any(c => c.ChannelNo == channel.No)) faults.Add($"channels[{i}].channelId: channel '{channel.ChannelId}' has an entry already; one is enough");
            else found.Add(new ChannelContent(channel.No, channel.ChannelId, channel.Type, Compact(entry.Content), Text.TrimToNull(entry.DataType), entry.MessageRetentionHours));
        }
        return faults.Count == 0 ? found : throw new ApiException(Errors.BadRequest(faults));
    }

    private static Channel? Named(ChannelEntry entry, List<Channel> candidates, int i, List<string> faults)
    {
        var id = entry.ChannelId!.Trim();
        var channel = candidates.Find(c => c.Id == id || c.ChannelId == id) ?? throw new ApiException(Errors.NotFound("channel", id));
        if (channel.Type == entry.ChannelType) return channel;
        faults.Add($"channels[{i}].channelType: is {Wire(entry.ChannelType)}, but channel '{channel.ChannelId}' is of type {Wire(channel.Type)}");
        return null;
    }

    private static Channel? OnlyOne(ChannelType type, List<Channel> candidates, int i, List<string> faults)
    {
        const int shown = 10;
        var ofType = candidates.FindAll(c => c.Type == type);
        if (ofType.Count == 1) return ofType[0];
        faults.Add($"channels[{i}].channelId: " + (ofType.Count == 0
            ? $"this app has no channel of type {Wire(type)}; make one with POST /api/channels"
            : $"this app has {ofType.Count} channels of type {Wire(type)}; name one of {string.Join(", ", ofType.Take(shown).Select(c => c.ChannelId))}{(ofType.Count > shown ? ", …" : "")}"));
        return null;
    }

    private async Task<string> FreeSlugAsync(string name, CancellationToken ct)
    {
        var wanted = "cc-template-" + Text.Slug(name);
        var taken = (await db.Templates.Where(t => t.AppNo == app.No && (t.TemplateId == wanted || t.TemplateId.StartsWith(wanted + "-")))
            .Select(t => t.TemplateId).ToListAsync(ct)).ToHashSet();
        var slug = wanted;
        for (var n = 2; taken.Contains(slug); n++) slug = string.Create(CultureInfo.InvariantCulture, $"{wanted}-{n}");
        return slug;
    }

    private static string[] Tags(IReadOnlyList<string>? tags) => [.. (tags ?? []).Select(t => t.Trim()).Distinct()];

    private static List<Variable> Schema(IReadOnlyList<VariableEntry>? entries) =>
        [.. (entries ?? []).Select(e => e.ToVariable()).Select(v => v with { DefaultValue = v.DefaultValue is { } value ? Compact(value) : null })];

    /// <summary>White space between tokens is no change of content, and need not be kept.</summary>
    private static JsonElement Compact(JsonElement json)
    {
        var bytes = JsonMarshal.GetRawUtf8Value(json).ToArray();
        return JsonElement.Parse(bytes.AsSpan(0, JsonText.Compact(bytes)));
    }

    private static string Wire(ChannelType type) => JsonNamingPolicy.SnakeCaseLower.ConvertName(type.ToString());
}
