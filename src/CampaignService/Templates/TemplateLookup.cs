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

    /// <summary>The version asked for; else the newest approved one; else, as long as none is approved, the newest.</summary>
    /// <exception cref="ApiException">404: the template has no such version.</exception>
    public static async Task<TemplateVersion> FindVersionAsync(this CampaignsDb db, Template template, int? version, CancellationToken ct)
    {
        var wanted = version ?? template.ApprovedVersion ?? template.CurrentVersion;
        return await db.TemplateVersions.FirstOrDefaultAsync(v => v.TemplateId == template.Id && v.Version == wanted, ct)
            ?? throw new ApiException(Errors.NotFound($"version of template '{template.TemplateId}' numbered", wanted.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }
}
