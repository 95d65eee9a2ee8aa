using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Templates;

public static class TemplateLookup
{
    /// <summary>A template by id or slug.</summary>
    /// <exception cref="ApiException">404: the app has none.</exception>
    public static async Task<Template> FindTemplateAsync(this CampaignsDb db, CurrentApp app, string idOrSlug, CancellationToken ct) =>
        await db.Templates.FirstOrDefaultAsync(t => t.AppNo == app.No && (t.Id == idOrSlug || t.TemplateId == idOrSlug), ct)
        ?? throw new ApiException(Errors.NotFound("template", idOrSlug));

    /// <summary>A template to read or change, with its newest version.</summary>
    /// <exception cref="ApiException">404: the app has none.</exception>
    public static async Task<Template> FindTemplateWithCurrentAsync(this CampaignsDb db, CurrentApp app, string idOrSlug, CancellationToken ct)
    {
        var template = await db.FindTemplateAsync(app, idOrSlug, ct);
        // Tracked, it becomes template.Current.
        await db.TemplateVersions.SingleAsync(v => v.TemplateId == template.Id && v.Version == template.CurrentVersion, ct);
        return template;
    }

    /// <summary>Only what the query asks for; archived templates only when it does by name.</summary>
    public static IQueryable<Template> Matching(this IQueryable<Template> rows, CampaignsDb db, TemplateQuery query)
    {
        rows = query.Status is { } status ? rows.Where(t => t.Status == status) : rows.Where(t => t.Status != TemplateStatus.Archived);
        return rows.OfCategory(db, query.TemplateCategory).Containing(query.Search, t => t.Name, t => t.TemplateId, t => t.Id).Tagged(query.TagList, query.TagMatch);
    }

    /// <param name="rows">Templates.</param>
    /// <param name="db">Where the categories stand.</param>
    /// <param name="category">The name, id or slug of a category; null: any.</param>
    public static IQueryable<Template> OfCategory(this IQueryable<Template> rows, CampaignsDb db, string? category) => category is null ? rows
        : rows.Where(t => t.Category == category || db.Categories.Any(c => c.AppNo == t.AppNo && c.Name == t.Category && (c.Id == category || c.CategoryId == category)));

    /// <param name="rows">Templates.</param>
    /// <param name="tags">None: any template will do.</param>
    /// <param name="match">Whether one of them is enough.</param>
    public static IQueryable<Template> Tagged(this IQueryable<Template> rows, string[] tags, TagMatch match) => tags.Length == 0 ? rows
        : match == TagMatch.All ? rows.Where(t => tags.All(tag => t.Tags.Contains(tag))) : rows.Where(t => t.Tags.Any(tag => tags.Contains(tag)));

    /// <summary>A version that something else has pinned: it is there.</summary>
    public static Task<TemplateVersion> PinnedVersionAsync(this CampaignsDb db, string templateId, int version, CancellationToken ct) =>
        db.TemplateVersions.AsNoTracking().SingleAsync(v => v.TemplateId == templateId && v.Version == version, ct);

    /// <summary>The version asked for; else the newest approved one; else, as long as none is approved, the newest.</summary>
    /// <exception cref="ApiException">404: the template has no such version.</exception>
    public static async Task<TemplateVersion> FindVersionAsync(this CampaignsDb db, Template template, int? version, CancellationToken ct)
    {
        var wanted = version ?? template.ApprovedVersion ?? template.CurrentVersion;
        return await db.TemplateVersions.FirstOrDefaultAsync(v => v.TemplateId == template.Id && v.Version == wanted, ct)
            ?? throw new ApiException(Errors.NotFound($"version of template '{template.TemplateId}' numbered", wanted.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }
}
