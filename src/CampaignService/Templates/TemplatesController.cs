using System.Globalization;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Templates;

/// <summary>Templates and their versions. Senders choose from them, so their keys may read; an action that writes demands a <c>full</c> key besides.</summary>
[ApiController]
[Route("api/templates")]
[Tags("Templates")]
[AllowScope(Scopes.Send)]
public sealed class TemplatesController(CampaignsDb db, CurrentApp app, TemplateAuthor author, Cursors cursors) : ControllerBase
{
    /// <summary>Makes a template with its first version.</summary>
    /// <response code="404">A channel named is not known.</response>
    /// <response code="409">`ERR_CONFLICT`: the app has a template with that `templateId`.</response>
    [HttpPost]
    [AllowScope]
    [ProducesResponseType<One<TemplateView>>(201)]
    public async Task<IActionResult> Create(CreateTemplate body, CancellationToken ct)
    {
        var template = await author.CreateAsync(body, ct);
        return Created($"/api/templates/{template.Id}", new One<TemplateView>(TemplateView.Of(template)));
    }

    /// <summary>Lists the templates, newest first; those archived only when asked for by their status.</summary>
    [HttpGet]
    public async Task<Page<TemplateView>> List([FromQuery] TemplateQuery query, CancellationToken ct)
    {
        var list = $"templates:{app.No}";
        var before = cursors.Decode(list, query.Cursor);
        var rows = db.Templates.AsNoTracking().Where(t => t.AppNo == app.No && (before == null || string.Compare(t.Id, before) < 0)).Matching(db, query)
            .OrderByDescending(t => t.Id).Take(query.Limit + 1);
        var found = await rows.Join(db.TemplateVersions, t => new { t.Id, Version = t.CurrentVersion }, v => new { Id = v.TemplateId, v.Version }, (t, v) => new { Template = t, Current = v })
            .OrderByDescending(r => r.Template.Id).ToListAsync(ct);
        return Page.Of(found, query.Limit, r => TemplateView.Of(r.Template, r.Current), r => cursors.Encode(list, r.Template.Id));
    }

    /// <summary>One template, by id or `templateId`, with the content of its newest version.</summary>
    [HttpGet("{id}")]
    public async Task<One<TemplateView>> Get(string id, CancellationToken ct) => new(TemplateView.Of(await db.FindTemplateWithCurrentAsync(app, id, ct)));

    /// <summary>
    /// Changes the members given and leaves the others. Content, schema and channels of an approved version stay as they are: a change to
    /// them makes the next version, a draft, which `status: "approved"` in the same request approves. `templateId` cannot be changed.
    /// </summary>
    /// <response code="404">The template, or a channel named, is not known.</response>
    /// <response code="409">`ERR_INVALID_STATE`: it is archived, or `status: "draft"` was asked of an approved one. `ERR_CONFLICT`: another request changed it at the same moment.</response>
    [HttpPut("{id}")]
    [AllowScope]
    public async Task<One<TemplateView>> Edit(string id, EditTemplate body, CancellationToken ct) => new(TemplateView.Of(await author.EditAsync(id, body, ct)));

    /// <summary>Approves the newest version: it may be sent, and never changes again. Safe to repeat.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is archived.</response>
    [HttpPost("{id}/approve")]
    [AllowScope]
    public async Task<One<TemplateView>> Approve(string id, CancellationToken ct) => new(TemplateView.Of(await author.ApproveAsync(id, ct)));

    /// <summary>Archives the template: it is not listed and cannot be sent any more; what was sent stays readable. Safe to repeat.</summary>
    [HttpDelete("{id}")]
    [AllowScope]
    public async Task<One<TemplateView>> Archive(string id, CancellationToken ct) => new(TemplateView.Of(await author.ArchiveAsync(id, ct)));

    /// <summary>Lists the versions, newest first.</summary>
    [HttpGet("{id}/versions")]
    public async Task<Page<TemplateVersionView>> ListVersions(string id, [FromQuery] PageQuery query, CancellationToken ct)
    {
        var template = await db.FindTemplateAsync(app, id, ct);
        var list = $"template-versions:{app.No}:{template.Id}";
        var before = cursors.Decode(list, query.Cursor) is { } c ? int.Parse(c, CultureInfo.InvariantCulture) : int.MaxValue;
        var found = await db.TemplateVersions.AsNoTracking().Where(v => v.TemplateId == template.Id && v.Version < before)
            .OrderByDescending(v => v.Version).Take(query.Limit + 1).ToListAsync(ct);
        return Page.Of(found, query.Limit, TemplateVersionView.Of, v => cursors.Encode(list, v.Version.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>Makes the next version, a draft: what the body leaves out is as in the newest version. The body may be empty.</summary>
    /// <response code="404">The template, or a channel named, is not known.</response>
    /// <response code="409">`ERR_INVALID_STATE`: it is archived. `ERR_CONFLICT`: another request made a version at the same moment.</response>
    [HttpPost("{id}/versions")]
    [AllowScope]
    [ProducesResponseType<One<TemplateVersionView>>(201)]
    public async Task<IActionResult> CreateVersion(string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] CreateTemplateVersion? body, CancellationToken ct) =>
        StatusCode(201, new One<TemplateVersionView>(TemplateVersionView.Of(await author.AddVersionAsync(id, body, ct))));
}
