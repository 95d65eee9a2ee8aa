using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using FluentValidation;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Templates;

/// <summary>The categories of an app.</summary>
[ApiController]
[Route("api/templates/categories")]
[Tags("Categories")]
[AllowScope(Scopes.Send)]
public sealed class CategoriesController(CampaignsDb db, CurrentApp app, CategoryAuthor author, Cursors cursors) : ControllerBase
{
    /// <summary>Makes a category. One that a template names is made by itself.</summary>
    /// <response code="409">`ERR_CONFLICT`: the app has a category of that name.</response>
    [HttpPost]
    [AllowScope]
    [ProducesResponseType<One<CategoryView>>(201)]
    public async Task<IActionResult> Create(CreateCategory body, CancellationToken ct)
    {
        var category = await author.CreateAsync(body, ct);
        return Created($"/api/templates/categories/{category.Id}", new One<CategoryView>(CategoryView.Of(category)));
    }

    /// <summary>Lists the categories, newest first.</summary>
    [HttpGet]
    public async Task<Page<CategoryView>> List([FromQuery] CategoryQuery query, CancellationToken ct)
    {
        var list = $"categories:{app.No}";
        var before = cursors.Decode(list, query.Cursor);
        var page = await db.Categories.AsNoTracking().Where(c => c.AppNo == app.No && (before == null || string.Compare(c.Id, before) < 0))
            .Containing(query.Search, c => c.Name, c => c.CategoryId, c => c.Id).OrderByDescending(c => c.Id).Take(query.Limit + 1).ToListAsync(ct);
        return Page.Of(page, query.Limit, CategoryView.Of, c => cursors.Encode(list, c.Id));
    }

    /// <summary>One category, by id or `categoryId`.</summary>
    [HttpGet("{id}")]
    public async Task<One<CategoryView>> Get(string id, CancellationToken ct) => new(CategoryView.Of(await author.FindAsync(id, ct)));

    /// <summary>Changes the members given and leaves the others. A new name is at once the `templateCategory` of the templates that had the old one.</summary>
    /// <response code="409">`ERR_CONFLICT`: the app has another category of that name.</response>
    [HttpPut("{id}")]
    [AllowScope]
    public async Task<One<CategoryView>> Edit(string id, EditCategory body, CancellationToken ct) => new(CategoryView.Of(await author.EditAsync(id, body, ct)));

    /// <summary>Deletes a category that no template names, archived ones among them.</summary>
    /// <response code="204">It is gone.</response>
    /// <response code="409">`ERR_CONFLICT`: templates name it; `error.details` says how many.</response>
    [HttpDelete("{id}")]
    [AllowScope]
    [ProducesResponseType(204)]
    public async Task<IActionResult> Delete(string id, CancellationToken ct)
    {
        await author.DeleteAsync(id, ct);
        return NoContent();
    }
}

/// <summary>Which categories to list.</summary>
public sealed class CategoryQuery : PageQuery
{
    /// <summary>Only those with this text in their name or id, whatever the case.</summary>
    public string? Search { get; init; }
}

/// <summary>A new category.</summary>
public sealed class CreateCategory
{
    /// <summary>What templates and feeds call it, 1 to 100 characters, unique in the app.</summary>
    /// <example>Marketing</example>
    public required string Name { get; init; }

    /// <summary>For people, up to 1,000 characters.</summary>
    public string? Description { get; init; }

    public sealed class Validator : AbstractValidator<CreateCategory>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Must(CategoryChecks.IsName).WithMessage(CategoryChecks.NameExpected);
            RuleFor(b => b.Description).AtMost(TemplateChecks.MaxAlternativeText);
        }
    }
}

/// <summary>A change to a category.</summary>
public sealed class EditCategory
{
    /// <summary>What templates and feeds call it, 1 to 100 characters, unique in the app.</summary>
    public string? Name { get; init; }

    /// <summary>For people, up to 1,000 characters; null empties it.</summary>
    public Optional<string?> Description { get; init; }

    public sealed class Validator : AbstractValidator<EditCategory>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Must(CategoryChecks.IsName).WithMessage(CategoryChecks.NameExpected);
            RuleFor(b => b.Description.Value).AtMost(TemplateChecks.MaxAlternativeText).OverridePropertyName("description");
        }
    }
}

file static class CategoryChecks
{
    public static readonly string NameExpected = $"must have 1 to {Text.MaxLabel} characters";

    public static bool IsName(string? name) => name is null || Text.Length(name.AsSpan().Trim()) is >= 1 and <= Text.MaxLabel;
}

/// <summary>What messages are filed under.</summary>
/// <param name="Id">Its id.</param>
/// <param name="CategoryId">Its readable id, made from its first name and taken wherever the id is.</param>
/// <param name="Name">What templates and feeds call it.</param>
/// <param name="Description">For people.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it was last changed.</param>
public sealed record CategoryView(string Id, string CategoryId, string Name, string? Description, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt)
{
    public static CategoryView Of(Category c) => new(c.Id, c.CategoryId, c.Name, c.Description, c.CreatedAt, c.UpdatedAt);
}
