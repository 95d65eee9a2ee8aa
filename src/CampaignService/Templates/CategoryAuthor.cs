using System.Globalization;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Templates;

/// <summary>Makes, renames and deletes categories.</summary>
public sealed class CategoryAuthor(CampaignsDb db, CurrentApp app, TimeProvider clock)
{
    /// <summary>Each time a slug is lost, another request has won it.</summary>
    private const int SlugAttempts = 100;

    /// <exception cref="ApiException">404: the app has none of this id or slug.</exception>
    public async Task<Category> FindAsync(string idOrSlug, CancellationToken ct) =>
        await db.Categories.AsNoTracking().FirstOrDefaultAsync(c => c.AppNo == app.No && (c.Id == idOrSlug || c.CategoryId == idOrSlug), ct)
        ?? throw new ApiException(Errors.NotFound("category", idOrSlug));

    public async Task<Category> CreateAsync(CreateCategory body, CancellationToken ct)
    {
        var name = body.Name.Trim();
        if (await db.Categories.AnyAsync(c => c.AppNo == app.No && c.Name == name, ct)) throw new ApiException(NameTaken(name));
        return await MakeAsync(name, Text.TrimToNull(body.Description), ct) ?? throw new ApiException(NameTaken(name));
    }

    /// <summary>Makes the category that a template names, if it is not there, with the template and in its transaction: the caller saves.</summary>
    public async Task AddMissingAsync(string? name, CancellationToken ct)
    {
        if (name is null || await db.Categories.AnyAsync(c => c.AppNo == app.No && c.Name == name, ct)) return;
        db.Add(Category.Create(app.No, await FreeSlugAsync(name, ct), name, null, clock.GetUtcNow()));
    }

    public async Task<Category> EditAsync(string idOrSlug, EditCategory body, CancellationToken ct)
    {
        var category = await FindAsync(idOrSlug, ct);
        var (name, now) = (body.Name?.Trim() ?? category.Name, clock.GetUtcNow());
        var description = body.Description.IsGiven ? Text.TrimToNull(body.Description.Value) : category.Description;
        try
        {
            var rows = db.Categories.Where(c => c.AppNo == app.No && c.Id == category.Id);
            var changed = await rows.ExecuteUpdateAsync(c => c.SetProperty(x => x.Name, name).SetProperty(x => x.Description, description).SetProperty(x => x.UpdatedAt, now), ct);
            if (changed == 0) throw new ApiException(Errors.LostRace("category"));
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw new ApiException(NameTaken(name));
        }
        return await FindAsync(category.Id, ct);
    }

    /// <exception cref="ApiException">409: templates name it.</exception>
    public async Task DeleteAsync(string idOrSlug, CancellationToken ct)
    {
        var category = await FindAsync(idOrSlug, ct);
        try
        {
            await db.Categories.Where(c => c.AppNo == app.No && c.Id == category.Id).ExecuteDeleteAsync(ct);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.ForeignKeyViolation)
        {
            var templates = await db.Templates.CountAsync(t => t.AppNo == app.No && t.Category == category.Name, ct);
            throw new ApiException(Errors.CategoryInUse(category.Name, templates));
        }
    }

    /// <returns>Null when another request has made one of this name.</returns>
    private async Task<Category?> MakeAsync(string name, string? description, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            var category = Category.Create(app.No, await FreeSlugAsync(name, ct), name, description, clock.GetUtcNow());
            db.Add(category);
            try
            {
                await db.SaveChangesAsync(ct);
                return category;
            }
            catch (DbUpdateException e) when (attempt < SlugAttempts && e.InnerException is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation })
            {
                db.Entry(category).State = EntityState.Detached;
                if (await db.Categories.AnyAsync(c => c.AppNo == app.No && c.Name == name, ct)) return null;
            }
        }
    }

    private async Task<string> FreeSlugAsync(string name, CancellationToken ct)
    {
        var wanted = "cc-category-" + Text.Slug(name);
        var taken = (await db.Categories.Where(c => c.AppNo == app.No && (c.CategoryId == wanted || c.CategoryId.StartsWith(wanted + "-")))
            .Select(c => c.CategoryId).ToListAsync(ct)).ToHashSet();
        var slug = wanted;
        for (var n = 2; taken.Contains(slug); n++) slug = string.Create(CultureInfo.InvariantCulture, $"{wanted}-{n}");
        return slug;
    }

    private static ApiError NameTaken(string name) => Errors.Conflict($"This app has a category '{name}' already. Choose another name.");
}
