using CampaignService.Data;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Webhooks;

/// <summary>Disables webhooks that nobody answers for, and says so in the log, where the app's other webhooks hear of it.</summary>
public sealed class WebhookSwitch(IServiceScopeFactory scopes, TimeProvider clock, ILogger<WebhookSwitch> log)
{
    /// <summary>
    /// In a restored copy of a database: the original may go on calling. Places in the log go on far ahead, by the time in microseconds, so that
    /// whoever has read more of the original than the copy holds misses nothing of what happens here; of several copies each begins behind
    /// the one before. Die anywhere in it, and it is safe to do again.
    /// </summary>
    public async Task DisableAllAsync(CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        await db.Database.ExecuteSqlAsync($"SELECT setval('event_seq', greatest((SELECT last_value FROM event_seq), (date_part('epoch', clock_timestamp()) * 1000000)::bigint))", ct);
        var enabled = await db.Webhooks.Where(w => w.Enabled).OrderBy(w => w.No).Select(w => new { w.No, w.Url }).ToListAsync(ct);
        foreach (var webhook in enabled) await DisableAsync(webhook.No, webhook.Url, DisabledReason.Restored, ct);
    }

    /// <summary>Die before its commit, and the next failure does it.</summary>
    /// <param name="webhookNo">Which one.</param>
    /// <param name="url">Nobody answers for this address: one that has another by now is left alone.</param>
    /// <param name="reason">Why.</param>
    /// <param name="ct">Gives up.</param>
    public async Task DisableAsync(int webhookNo, string url, DisabledReason reason, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        // webhooks' index on no; of two processes one disables it
        var webhook = await db.Webhooks.FromSql($"SELECT * FROM webhooks WHERE no = {webhookNo} AND url = {url} AND enabled FOR UPDATE").FirstOrDefaultAsync(ct);
        if (webhook is null) return;
        webhook.Disable(reason, clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        await WebhookQueue.DropAsync(db.Connection, webhookNo, ct);
        await EventLog.AppendAsync(db.Connection, webhook.AppNo, EventType.WebhookDisabled, WebhookView.Of(webhook), person: null, ct);
        await transaction.CommitAsync(ct);
        log.LogWarning("Webhook {Webhook} is disabled: {Reason}", webhook.Id, reason switch
        {
            DisabledReason.Gone => "it answered 410",
            DisabledReason.Restored => "the database is a restored copy",
            _ => $"it has taken nothing since {webhook.FailingSince:O}",
        });
    }
}
