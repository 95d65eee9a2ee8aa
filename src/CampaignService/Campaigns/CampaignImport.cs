using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Templates;
using CampaignService.Tenancy;
using Microsoft.Extensions.Options;

namespace CampaignService.Campaigns;

/// <summary>
/// Adds recipients to a draft, by id or from a CSV file. Everything is read, checked and sorted before the campaign is locked; then one
/// transaction adds all of it. Die anywhere before its commit, and the campaign is as it was.
/// </summary>
public sealed class CampaignImport(CampaignsDb db, CurrentApp app, IOptions<Limits> limits)
{
    public async Task<AddedRecipients> AddAsync(string campaignId, AddRecipients body, CancellationToken ct)
    {
        var (campaign, schema) = await OpenAsync(campaignId, ct);
        var rows = Pack(body, schema);
        var repeated = rows.SortAndDeduplicate();
        var result = await StoreAsync(campaign, rows, repeated, rejected: 0, ct);
        return new AddedRecipients(result.Added, result.Duplicates, result.Total);
    }

    public async Task<UploadView> UploadAsync(UploadForm form, CancellationToken ct)
    {
        var (campaign, schema) = await OpenAsync(form.CampaignId, ct);
        var csv = CsvReader.Read(form.File, [.. schema.Variables.Select(v => v.Key)], limits.Value.MaxCsvRows, ct);
        var repeated = csv.Rows.SortAndDeduplicate();
        var result = await StoreAsync(campaign, csv.Rows, repeated, csv.Rejected, ct);
        return new UploadView(campaign.Id, result.Added, result.Total, result.Duplicates, csv.Rejected, csv.Errors);
    }

    private async Task<(Campaign Campaign, VariableSchema Schema)> OpenAsync(string campaignId, CancellationToken ct)
    {
        var campaign = await db.FindCampaignAsync(app, campaignId, ct);
        campaign.RequireDraft("given recipients");
        var version = await db.PinnedVersionAsync(campaign.Batch.TemplateId, campaign.Batch.TemplateVersion, ct);
        return (campaign, new VariableSchema(version.Content.VariableSchema));
    }

    private async Task<ImportResult> StoreAsync(Campaign seen, RecipientRows rows, int repeated, int rejected, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, seen.Id, ct);
        campaign.RequireDraft("given recipients");
        if ((campaign.Batch.TemplateId, campaign.Batch.TemplateVersion) != (seen.Batch.TemplateId, seen.Batch.TemplateVersion))
        {
            throw new ApiException(Errors.Conflict("The template of this campaign was changed while its recipients were being read. Send them again."));
        }
        var result = await RecipientImport.AddAsync(db, campaign.Batch, rows, repeated, rejected, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return result;
    }

    private static RecipientRows Pack(AddRecipients body, VariableSchema schema)
    {
        var ids = body.UserIds.Select(id => id.Trim()).ToHashSet();
        var (given, faults) = (new Dictionary<string, Dictionary<string, JsonElement>>(), new List<string>());
        foreach (var (id, values) in body.UserVariables ?? [])
        {
            if (faults.Count >= JsonFaults.MaxFaults) break;
            if (!ids.Contains(id.Trim())) faults.Add($"userVariables.{id}: is not in userIds");
            else if (values is null) faults.Add($"userVariables.{id}: must be an object");
            else if (!given.TryAdd(id.Trim(), values)) faults.Add($"userVariables.{id}: stands there twice, but for white space");
        }
        string[] columns = [.. schema.Variables.Select(v => v.Key).Where(key => given.Values.Any(values => values.ContainsKey(key)))];
        var rows = new RecipientRows(columns, body.UserIds.Count);
        var held = new Dictionary<string, string>();
        foreach (var userId in body.UserIds.Select(id => id.Trim()))
        {
            held.Clear();
            if (given.GetValueOrDefault(userId) is { } values) VariableValues.Read(schema, values, $"userVariables.{userId}", held, faults);
            if (faults.Count >= JsonFaults.MaxFaults) break;
            rows.Add(userId, [.. columns.Select(held.GetValueOrDefault)]);
        }
        return faults.Count == 0 ? rows : throw new ApiException(Errors.BadRequest(faults));
    }
}
