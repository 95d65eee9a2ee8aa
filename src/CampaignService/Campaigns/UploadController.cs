using CampaignService.Common;
using CampaignService.Idempotency;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;

namespace CampaignService.Campaigns;

/// <summary>Recipients from a CSV file.</summary>
[ApiController]
[Route("api/campaigns/upload")]
[Tags("Recipients")]
[AllowScope(Scopes.Send)]
public sealed class UploadController(CampaignImport import, IOptions<Limits> limits) : ControllerBase
{
    /// <summary>Adds the rows of a CSV file to a draft.</summary>
    /// <remarks>
    /// The first row names the columns: `user_id` (or `userId`), and variables of the template. UTF-8, commas, quotes as in RFC 4180, at
    /// most 100,000 data rows and 64 MiB (`Limits__MaxCsvRows`, `Limits__MaxUploadBytes`). An empty cell is an absent value. A faulty file
    /// is refused whole, naming what and where; a faulty row is left out and listed. The first of a repeated user id counts.
    /// </remarks>
    /// <response code="200">What was added, and what was not.</response>
    /// <response code="400">`ERR_BAD_REQUEST`: the whole file is refused; nothing was added.</response>
    /// <response code="404">`ERR_NOT_FOUND`: there is no such campaign in this app.</response>
    /// <response code="409">`ERR_INVALID_STATE`: the campaign is no draft any more.</response>
    /// <response code="413">`ERR_TOO_LARGE`: over `Limits__MaxUploadBytes`.</response>
    [HttpPost]
    [TakesNoKey]
    [DisableRequestSizeLimit]
    public async Task<One<UploadView>> Upload(CancellationToken ct)
    {
        await using var form = await UploadForm.ReadAsync(Request, limits.Value.MaxUploadBytes, ct);
        return new One<UploadView>(await import.UploadAsync(form, ct));
    }
}
