using CampaignService.Data;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Webhooks;

/// <summary>Disables webhooks that nobody answers for, and says so in the log, where the app's other webhooks hear of it.</summary>
public sealed class WebhookSwitch(IServiceScopeFactory scopes, TimeProvider clock, ILogger<WebhookSwitch> log)
{
    /// <summary>Die before its commit, and the next failure does it.</summary>
    public async Task DisableAsync(int webhookNo, DisabledReason reason, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        // webhooks' index on no; of two processes one disables it
        var webhook = await db.Webhooks.FromSql($"SELECT * FROM webhooks WHERE no = {webhookNo} AND enabled FOR UPDATE").FirstOrDefaultAsync(ct);
        if (webhook is null) return;
        webhook.Disable(reason, clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        await WebhookQueue.DropAsync(db.Connection, webhookNo, ct);
        await EventLog.AppendAsync(db.Connection, webhook.AppNo, EventType.WebhookDisabled, WebhookView.Of(webhook), person: null, ct);
        await transaction.CommitAsync(ct);
        log.LogWarning("Webhook {Webhook} is disabled: {Reason}", webhook.Id, reason == DisabledReason.Gone ? "it answered 410" : $"it has taken nothing since {webhook.FailingSince:O}");
    }
}
