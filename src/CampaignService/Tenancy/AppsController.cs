using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Idempotency;
using FluentValidation;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Tenancy;

/// <summary>Apps and their keys, for whoever runs the service (header <c>operatorKey</c>).</summary>
[ApiController]
[Route("api/apps")]
[Tags("Apps and keys")]
[Authorize(AuthenticationSchemes = OperatorAuthentication.SchemeName)]
public sealed class AppsController(CampaignsDb db, TimeProvider clock, KnownKeys known, Cursors cursors) : ControllerBase
{
    /// <summary>Makes an app.</summary>
    /// <response code="409">`ERR_CONFLICT`: there is an app with that id.</response>
    [HttpPost]
    [ProducesResponseType<One<AppView>>(201)]
    public async Task<IActionResult> Create(CreateApp body, CancellationToken ct)
    {
        if (await db.Apps.AnyAsync(a => a.Id == body.Id, ct)) throw new ApiException(Errors.Conflict($"There is an app '{body.Id}' already."));
        var app = App.Create(body.Id, body.Name, clock.GetUtcNow());
        db.Add(app);
        await db.SaveChangesAsync(ct);
        return Created($"/api/apps/{app.Id}/keys", new One<AppView>(AppView.Of(app)));
    }

    /// <summary>Lists the apps, newest first.</summary>
    [HttpGet]
    public async Task<Page<AppView>> List([FromQuery] PageQuery page, CancellationToken ct)
    {
        var before = cursors.Decode("apps", page.Cursor) is { } c ? int.Parse(c, System.Globalization.CultureInfo.InvariantCulture) : int.MaxValue;
        var rows = await db.Apps.AsNoTracking().Where(a => a.No < before).OrderByDescending(a => a.No).Take(page.Limit + 1).ToListAsync(ct);
        return Page.Of(rows, page.Limit, AppView.Of, a => cursors.Encode("apps", a.No.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }

    /// <summary>Makes a key for an app. The answer holds the key this once; only its hash is kept.</summary>
    [HttpPost("{id}/keys")]
    [SealsItsAnswer]
    [ProducesResponseType<One<NewKeyView>>(201)]
    public async Task<IActionResult> CreateKey(string id, CreateKey body, CancellationToken ct)
    {
        var app = await FindAsync(id, ct);
        var (row, key) = ApiKey.Create(app, body.Name, body.Scopes, clock.GetUtcNow());
        db.Add(row);
        await db.SaveChangesAsync(ct);
        known.Forget(id);
        return StatusCode(201, new One<NewKeyView>(new NewKeyView(row.Id, row.Name, row.Scopes, key)));
    }

    /// <summary>Lists the keys of an app, newest first, without the keys themselves.</summary>
    [HttpGet("{id}/keys")]
    public async Task<Page<KeyView>> ListKeys(string id, [FromQuery] PageQuery page, CancellationToken ct)
    {
        var app = await FindAsync(id, ct);
        var list = $"keys:{app.No}";
        var before = cursors.Decode(list, page.Cursor);
        var rows = await db.ApiKeys.AsNoTracking().Where(k => k.AppNo == app.No && (before == null || string.Compare(k.Id, before) < 0))
            .OrderByDescending(k => k.Id).Take(page.Limit + 1).ToListAsync(ct);
        return Page.Of(rows, page.Limit, k => new KeyView(k.Id, k.Name, k.Scopes, k.CreatedAt), k => cursors.Encode(list, k.Id));
    }

    /// <summary>Deletes a key. It is refused at once here and within 5 s on every other process.</summary>
    [HttpDelete("{id}/keys/{keyId}")]
    [ProducesResponseType(204)]
    public async Task<IActionResult> DeleteKey(string id, string keyId, CancellationToken ct)
    {
        var app = await FindAsync(id, ct);
        if (await db.ApiKeys.Where(k => k.AppNo == app.No && k.Id == keyId).ExecuteDeleteAsync(ct) == 0) throw new ApiException(Errors.NotFound("key", keyId));
        known.Forget(id);
        return NoContent();
    }

    private async Task<App> FindAsync(string id, CancellationToken ct) =>
        await db.Apps.FirstOrDefaultAsync(a => a.Id == id, ct) ?? throw new ApiException(Errors.NoSuchApp(id));
}

/// <summary>A new app.</summary>
public sealed class CreateApp
{
    /// <summary>The value of the <c>appId</c> header: 1 to 200 letters, digits, dots, dashes and underscores. Cannot be changed.</summary>
    /// <example>shop</example>
    public required string Id { get; init; }

    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>The shop</example>
    public required string Name { get; init; }

    public sealed class Validator : AbstractValidator<CreateApp>
    {
        public Validator()
        {
            RuleFor(b => b.Id).Slug(Ids.ApiKey);
            RuleFor(b => b.Name).Name();
        }
    }
}

/// <summary>A new key of an app.</summary>
public sealed class CreateKey
{
    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>checkout backend</example>
    public required string Name { get; init; }

    /// <summary>What the key may do: <c>full</c> (everything), <c>send</c> (campaigns and direct sends), <c>read</c> (every GET), <c>feed</c> (feed routes). At least one.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    public sealed class Validator : AbstractValidator<CreateKey>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.Scopes).Must(s => s is null || (s.Count > 0 && s.All(x => Tenancy.Scopes.All.Contains(x))))
                .WithMessage($"must hold at least one of {string.Join(", ", Tenancy.Scopes.All)}, and nothing else");
        }
    }
}

/// <summary>An app.</summary>
/// <param name="Id">The value of the <c>appId</c> header.</param>
/// <param name="Name">For people.</param>
/// <param name="CreatedAt">When it was made.</param>
public sealed record AppView(string Id, string Name, DateTimeOffset CreatedAt)
{
    public static AppView Of(App app) => new(app.Id, app.Name, app.CreatedAt);
}

/// <summary>A key, without the key itself.</summary>
/// <param name="Id">Names the key in <c>DELETE</c>.</param>
/// <param name="Name">For people.</param>
/// <param name="Scopes">What it may do.</param>
/// <param name="CreatedAt">When it was made.</param>
public sealed record KeyView(string Id, string Name, IReadOnlyList<string> Scopes, DateTimeOffset CreatedAt);

/// <summary>A key that was just made.</summary>
/// <param name="Id">Names the key in <c>DELETE</c>.</param>
/// <param name="Name">For people.</param>
/// <param name="Scopes">What it may do.</param>
/// <param name="Key">The value of the <c>apiKey</c> header. Shown this once; keep it.</param>
public sealed record NewKeyView(string Id, string Name, IReadOnlyList<string> Scopes, string Key);
