using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Users;

/// <summary>The people whom an app knows.</summary>
[ApiController]
[Route("api/users")]
[Tags("Users")]
[AllowScope]
public sealed class UsersController(
    CampaignsDb db, CurrentApp app, UserUpsert upsert, UserPresence presence, PersonalRecords records, TimeProvider clock, Cursors cursors) : ControllerBase
{
    /// <summary>Makes one person known or many, or changes those who are: members left out stay as they are, null clears one.</summary>
    /// <remarks>
    /// One person is answered as they are now. Many, in `users`, are answered as `{"data": {"created": 2, "updated": 1}}`; either all of them
    /// are taken or none. An id that stands there twice is refused.
    /// </remarks>
    [HttpPost]
    [ProducesResponseType<One<UserView>>(200)]
    public async Task<IActionResult> Upsert(UpsertUsers body, CancellationToken ct)
    {
        var result = await upsert.RunAsync(app.No, body.Users ?? [body], ct);
        return body.Users is null ? Ok(new One<UserView>(View(await FindAsync(body.Key, ct)))) : Ok(new One<UpsertedView>(result));
    }

    /// <summary>Lists the people known, in order of id.</summary>
    [HttpGet]
    public async Task<Page<UserView>> List([FromQuery] UserQuery query, CancellationToken ct)
    {
        var list = $"users:{app.No}";
        var after = cursors.Decode(list, query.Cursor);
        await presence.FlushAsync(ct);
        // The key, from the last row on.
        var rows = db.Users.AsNoTracking().Where(u => u.AppNo == app.No && (after == null || string.Compare(u.Id, after) > 0));
        if (query.Role is { } role) rows = rows.Where(u => u.Role == role);
        if (query.CreatedFrom is { } from) rows = rows.Where(u => u.CreatedAt >= from);
        if (query.CreatedTo is { } to) rows = rows.Where(u => u.CreatedAt <= to);
        var since = clock.GetUtcNow() - UserPresence.OnlineFor;
        if (query.Status is { } status) rows = rows.Where(u => (u.LastSeenAt != null && u.LastSeenAt > since) == (status == UserStatus.Online));
        var page = await rows.Containing(query.Search, u => u.Id, u => u.Name!).OrderBy(u => u.Id).Take(query.Limit + 1).ToListAsync(ct);
        return Page.Of(page, query.Limit, View, u => cursors.Encode(list, u.Id));
    }

    /// <summary>One person's profile.</summary>
    [HttpGet("{id}")]
    public async Task<One<UserView>> Get([UserId] string id, CancellationToken ct)
    {
        await presence.FlushAsync(ct);
        return new(View(await FindAsync(id, ct)));
    }

    /// <summary>Changes the members given and leaves the others; null clears one.</summary>
    [HttpPatch("{id}")]
    public async Task<One<UserView>> Edit([UserId] string id, EditUser body, CancellationToken ct)
    {
        var user = await FindAsync(id, ct);
        user.Edit(body, clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        return new One<UserView>(View(user));
    }

    /// <summary>Erases a person: profile, devices, feed, and their values and id in every ledger. It cannot be undone.</summary>
    /// <remarks>
    /// Works for any id of which something is held, with a profile or without. Rows of ledgers stay, so that totals do not move: under an id
    /// that says nothing, without values; what was pending is skipped with the reason `erased`. Tokens made for the person until now are
    /// useless. Safe to repeat: a call that got no answer, or a 409 because a large upload was being stored, may be sent again.
    /// </remarks>
    /// <response code="404">`ERR_NOT_FOUND`: nothing is held of such a person.</response>
    [HttpDelete("{id}")]
    public async Task<One<ErasedView>> Erase([UserId] string id, CancellationToken ct) => new(await records.EraseAsync(new Person(app.No, id), ct));

    /// <summary>Everything held on one person, with a profile or without, as one JSON file.</summary>
    /// <response code="404">`ERR_NOT_FOUND`: nothing is held of such a person.</response>
    [HttpGet("{id}/export")]
    [ProducesResponseType<One<PersonExport>>(200)]
    public async Task Export([UserId] string id, CancellationToken ct)
    {
        // Spooled first: who reads slowly must not keep a connection of the database's for as long.
        await using var file = Spool.Open();
        await records.ExportAsync(new Person(app.No, id), file, ct);
        file.Position = 0;
        Response.ContentType = "application/json; charset=utf-8";
        Response.Headers.ContentDisposition = "attachment; filename=\"person.json\"";
        Response.ContentLength = file.Length;
        await file.CopyToAsync(Response.Body, ct);
    }

    private UserView View(AppUser user) => UserView.Of(user, clock.GetUtcNow());

    private async Task<AppUser> FindAsync(string id, CancellationToken ct) =>
        await db.Users.FirstOrDefaultAsync(u => u.AppNo == app.No && u.Id == id, ct) ?? throw new ApiException(Errors.NotFound("user", id));
}
