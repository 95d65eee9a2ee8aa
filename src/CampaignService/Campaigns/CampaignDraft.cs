using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Templates;
using CampaignService.Tenancy;

namespace CampaignService.Campaigns;

/// <summary>What is done to a campaign before it is sent: making, changing, copying, deleting. Each touches the campaign, its batch and a template.</summary>
public sealed class CampaignDraft(CampaignsDb db, CurrentApp app, TimeProvider clock)
{
    public async Task<Campaign> CreateAsync(CreateCampaign body, CancellationToken ct)
    {
        var template = await db.FindTemplateAsync(app, body.TemplateId, ct);
        if (template.Status == TemplateStatus.Archived) throw new ApiException(Errors.InvalidState("template", "archived", "used in a campaign", "draft", "approved"));
        var version = await db.FindVersionAsync(template, body.TemplateVersion, ct);
        var details = new CampaignDetails(body.Name.Trim(), body.Description, body.DeliveryMode, Text.TrimToNull(body.Tag), body.SenderId?.Trim());
        var campaign = Campaign.Create(details, template, version, ReadVariables(version, body.Variables ?? []), clock.GetUtcNow());
        campaign.Batch.LimitTo(body.RatePerSecond);
        db.Add(campaign);
        await db.SaveChangesAsync(ct);
        return campaign;
    }

    public async Task<Campaign> EditAsync(string id, EditCampaign body, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.Edit(new CampaignDetails(
            body.Name?.Trim() ?? campaign.Name,
            body.Description.Or(campaign.Description),
            body.DeliveryMode ?? campaign.DeliveryMode,
            body.Tag.IsGiven ? Text.TrimToNull(body.Tag.Value) : campaign.Tag,
            body.SenderId.IsGiven ? body.SenderId.Value?.Trim() : campaign.SenderId), clock.GetUtcNow());
        campaign.Batch.LimitTo(body.RatePerSecond.Or(campaign.Batch.RatePerSecond));
        if (body.TemplateId is not null || body.TemplateVersion is not null || body.Variables is not null) await ChangeContentAsync(campaign, body, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return campaign;
    }

    public async Task<Campaign> DuplicateAsync(string id, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        // Only a draft's audience can still change; what is being sent is copied without holding anybody up.
        var campaign = await db.FindCampaignAsync(app, id, ct);
        if (campaign.Status == CampaignStatus.Draft) campaign = await db.LockAsync(app, id, ct);
        var version = await db.PinnedVersionAsync(campaign.Batch.TemplateId, campaign.Batch.TemplateVersion, ct);
        var copy = campaign.Duplicate(version, clock.GetUtcNow());
        db.Add(copy);
        await db.SaveChangesAsync(ct);
        await RecipientImport.CopyAudienceAsync(db, campaign.BatchId, copy.Batch, ct);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return copy;
    }

    public async Task DeleteAsync(string id, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var campaign = await db.LockAsync(app, id, ct);
        campaign.RequireDraft("deleted");
        await RecipientImport.DeleteAudienceAsync(db, campaign.BatchId, ct);
        db.Remove(campaign);
        db.Remove(campaign.Batch);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
    }

    private async Task ChangeContentAsync(Campaign campaign, EditCampaign body, CancellationToken ct)
    {
        var batch = campaign.Batch;
        var template = await db.FindTemplateAsync(app, body.TemplateId ?? batch.TemplateId, ct);
        if (template.Status == TemplateStatus.Archived) throw new ApiException(Errors.InvalidState("template", "archived", "used in a campaign", "draft", "approved"));
        // The same template named again is no wish for another version of it.
        var version = await db.FindVersionAsync(template, body.TemplateVersion ?? (template.Id == batch.TemplateId ? batch.TemplateVersion : null), ct);
        var schema = new VariableSchema(version.Content.VariableSchema);
        if (batch.VarNames.FirstOrDefault(n => schema.Find(n) is null) is { } column)
        {
            throw new ApiException(Errors.Conflict($"The recipients of this campaign have values for '{column}', which version {version.Version} of template '{template.TemplateId}' does not know. Choose a template that has it, or make a new campaign."));
        }
        if (body.Variables is null && batch.Variables.Keys.FirstOrDefault(n => schema.Find(n) is null) is { } variable)
        {
            throw new ApiException(Errors.Conflict($"The campaign's own variables hold '{variable}', which version {version.Version} of template '{template.TemplateId}' does not know. Send variables that fit in the same request."));
        }
        campaign.ChangeContent(template, version, body.Variables is null ? batch.Variables : ReadVariables(version, body.Variables));
    }

    private static Dictionary<string, string> ReadVariables(TemplateVersion version, Dictionary<string, JsonElement> given)
    {
        var (held, faults) = (new Dictionary<string, string>(), new List<string>());
        VariableValues.Read(new VariableSchema(version.Content.VariableSchema), given, "variables", held, faults);
        return faults.Count == 0 ? held : throw new ApiException(Errors.BadRequest(faults));
    }
}
