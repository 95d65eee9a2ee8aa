using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;

namespace CampaignService.Campaigns;

/// <summary>The recipients of a campaign: adding them, and what became of each.</summary>
[ApiController]
[Route("api/campaigns/{id}")]
[Tags("Recipients")]
[AllowScope(Scopes.Send)]
public sealed class RecipientsController(CampaignsDb db, CurrentApp app, CampaignImport import, Cursors cursors) : ControllerBase
{
    /// <summary>Adds recipients by id to a draft.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is no draft any more.</response>
    [HttpPost("recipients")]
    [ProducesResponseType<One<AddedRecipients>>(201)]
    public async Task<IActionResult> Add(string id, AddRecipients body, CancellationToken ct) =>
        StatusCode(201, new One<AddedRecipients>(await import.AddAsync(id, body, ct)));

    /// <summary>Lists the recipients in order of user id, with what became of each.</summary>
    [HttpGet("recipients")]
    public async Task<Page<RecipientView>> List(string id, [FromQuery] RecipientQuery query, CancellationToken ct)
    {
        var list = $"recipients:{app.No}:{id}";
        var after = cursors.Decode(list, query.Cursor);
        await using var ledger = await OpenAsync(id, ct);
        var filter = new LedgerFilter(query.Status, ledger.ChannelNo(query.ChannelId), query.Search);
        var rows = await ledger.TakeAsync(filter, after, query.Limit + 1, ct);
        return Page.Of(rows, query.Limit, r => r, r => cursors.Encode(list, r.UserId));
    }

    /// <summary>One recipient.</summary>
    [HttpGet("recipients/{userId}")]
    public async Task<One<RecipientView>> Get(string id, string userId, CancellationToken ct)
    {
        await using var ledger = await OpenAsync(id, ct);
        // The server leaves %2F as it is, for a slash there would be taken for one of the path.
        return new(await ledger.FindAsync(userId.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase).Trim(), ct) ?? throw new ApiException(Errors.NotFound("recipient", userId)));
    }

    /// <summary>The ledger in numbers: totals, and the reasons of everything that was not simply delivered.</summary>
    [HttpGet("recipients/summary")]
    public async Task<One<SummaryView>> Summary(string id, CancellationToken ct)
    {
        await using var ledger = await OpenAsync(id, ct);
        return new(await ledger.SummaryAsync(ct));
    }

    /// <summary>The whole ledger as CSV, a line for each message, as of one moment.</summary>
    /// <remarks>Cells that begin with `=`, `+`, `-` or `@` get a `'` before them, so that no spreadsheet takes them for a formula.</remarks>
    [HttpGet("recipients.csv")]
    [Produces("text/csv")]
    [ProducesResponseType<string>(200)]
    public async Task Export(string id, CancellationToken ct)
    {
        // Spooled first: who reads slowly must not keep a connection of the database's for as long.
        await using var file = Spool.Open();
        await using (var ledger = await OpenAsync(id, ct)) await ledger.ExportAsync(file, ct);
        file.Position = 0;
        Response.ContentType = "text/csv; charset=utf-8";
        Response.Headers.ContentDisposition = $"attachment; filename=\"{id}-recipients.csv\"";
        Response.ContentLength = file.Length;
        await file.CopyToAsync(Response.Body, ct);
    }

    private Task<BatchLedger> OpenAsync(string id, CancellationToken ct) =>
        BatchLedger.OpenAsync(db, async () => (await db.FindCampaignAsync(app, id, ct)).Batch, ct);
}
