using System.Globalization;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Idempotency;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace CampaignService.Webhooks;

/// <summary>Servers that are told what happens.</summary>
[ApiController]
[Route("api/webhooks")]
[Tags("Webhooks")]
[AllowScope]
public sealed class WebhooksController(
    CampaignsDb db, CurrentApp app, SecretBox box, WebhookSender sender, WebhookAttempts attempts, IOptions<WebhookSettings> settings, TimeProvider clock, Cursors cursors)
    : ControllerBase
{
    /// <summary>Makes a webhook. The answer holds its secret this once.</summary>
    /// <remarks>
    /// Each event is a POST of `{id, type, timestamp, data}`, signed as the Standard Webhooks specification says: in `webhook-id` (the id of the event,
    /// the same each time it is sent), `webhook-timestamp` and `webhook-signature`. Any answer 2xx within 15 s takes it. Otherwise it is sent again after 5 s,
    /// 30 s, 2 min, 10 min, 1 h, 6 h and 24 h, each a fifth longer or shorter. An event comes at least once and in no promised order; redirects are not followed; 410
    /// disables the webhook, and so do 5 days in which it takes nothing.
    /// </remarks>
    /// <response code="409">`ERR_CONFLICT`: the app has as many webhooks as it may.</response>
    [HttpPost]
    [SealsItsAnswer]
    [ProducesResponseType<One<WebhookView>>(201)]
    public async Task<IActionResult> Create(CreateWebhook body, CancellationToken ct)
    {
        await RequireReachableAsync(body.Url, ct);
        var most = settings.Value.MaxPerApp;
        if ((await db.Webhooks.Where(w => w.AppNo == app.No).Select(w => w.No).Take(most).ToListAsync(ct)).Count == most)
            throw new ApiException(Errors.Conflict($"This app has {most} webhooks already. Delete one, or let one take more events."));
        var secret = body.Secret ?? WebhookSecret.Make();
        var webhook = Webhook.Create(app.No, body.Url, body.Events, body.Enabled, secret, box, clock.GetUtcNow());
        db.Add(webhook);
        await db.SaveChangesAsync(ct);
        return Created($"/api/webhooks/{webhook.Id}", new One<WebhookView>(WebhookView.Of(webhook, secret)));
    }

    /// <summary>Lists the webhooks, newest first.</summary>
    [HttpGet]
    public async Task<Page<WebhookView>> List([FromQuery] PageQuery query, CancellationToken ct)
    {
        var list = $"webhooks:{app.No}";
        var before = cursors.Decode(list, query.Cursor);
        var rows = await db.Webhooks.AsNoTracking().Where(w => w.AppNo == app.No && (before == null || string.Compare(w.Id, before) < 0))
            .OrderByDescending(w => w.Id).Take(query.Limit + 1).ToListAsync(ct);
        return Page.Of(rows, query.Limit, w => WebhookView.Of(w), w => cursors.Encode(list, w.Id));
    }

    /// <summary>One webhook.</summary>
    [HttpGet("{id}")]
    public async Task<One<WebhookView>> Get(string id, CancellationToken ct) => new(WebhookView.Of(await FindAsync(id, ct)));

    /// <summary>Changes the members given and leaves the others. The secret is changed by `rotate-secret`.</summary>
    [HttpPut("{id}")]
    public async Task<One<WebhookView>> Edit(string id, EditWebhook body, CancellationToken ct)
    {
        var webhook = await FindAsync(id, ct);
        if (body.Url is not null) await RequireReachableAsync(body.Url, ct);
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        webhook.Edit(body.Url, body.Events, body.Enabled, clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        if (!webhook.Enabled) await WebhookQueue.DropAsync(db.Connection, webhook.No, ct);
        await transaction.CommitAsync(ct);
        return new One<WebhookView>(WebhookView.Of(webhook));
    }

    /// <summary>Deletes a webhook: nothing more is sent to it, nor again.</summary>
    [HttpDelete("{id}")]
    [ProducesResponseType(204)]
    public async Task<IActionResult> Delete(string id, CancellationToken ct)
    {
        var webhook = await FindAsync(id, ct);
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        db.Remove(webhook);
        await db.SaveChangesAsync(ct);
        await WebhookQueue.DropAsync(db.Connection, webhook.No, ct);
        await transaction.CommitAsync(ct);
        return NoContent();
    }

    /// <summary>Signs events with a new secret from now on, and for some time with the old one beside it. The answer holds the new one this once.</summary>
    /// <remarks>
    /// Repeating it is safe, with an `Idempotency-Key` or without: while an old secret still signs, that one stays, and the one from an
    /// answer that was lost is given up. So put the new secret into the receiver before you change it once more; `keepOldForHours` 0 drops the old one at once.
    /// </remarks>
    /// <response code="409">`ERR_CONFLICT`: another request changed it at the same moment.</response>
    [HttpPost("{id}/rotate-secret")]
    [SealsItsAnswer]
    public async Task<One<WebhookView>> RotateSecret(string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] RotateSecret? body, CancellationToken ct)
    {
        var (webhook, asked) = (await FindAsync(id, ct), body ?? new RotateSecret());
        var secret = asked.Secret ?? WebhookSecret.Make();
        webhook.Rotate(secret, TimeSpan.FromHours(asked.KeepOldForHours), box, clock.GetUtcNow());
        await db.SaveChangesAsync(ct);
        return new One<WebhookView>(WebhookView.Of(webhook, secret));
    }

    /// <summary>Lists the attempts to deliver events to it, newest first.</summary>
    [HttpGet("{id}/attempts")]
    public async Task<Page<AttemptView>> ListAttempts(string id, [FromQuery] PageQuery query, CancellationToken ct)
    {
        var list = $"webhook-attempts:{app.No}:{id}";
        var before = cursors.Decode(list, query.Cursor) is { } c ? long.Parse(c, CultureInfo.InvariantCulture) : long.MaxValue;
        var rows = await attempts.TakeAsync((await FindAsync(id, ct)).No, before, query.Limit + 1, ct);
        return Page.Of(rows, query.Limit, r => r.View, r => cursors.Encode(list, r.Number.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>Sends again what happened from one time to another, as far as this webhook wants it and the log keeps it. Events keep their ids.</summary>
    /// <response code="409">`ERR_INVALID_STATE`: it is disabled.</response>
    [HttpPost("{id}/replay")]
    public async Task<One<ReplayedView>> Replay(string id, ReplayEvents body, CancellationToken ct)
    {
        var webhook = await FindAsync(id, ct);
        if (!webhook.Enabled) throw new ApiException(Errors.InvalidState("webhook", "disabled", "replayed", "enabled"));
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var replayed = await WebhookQueue.ReplayAsync(db.Connection, webhook, body.From, body.To, ct);
        await transaction.CommitAsync(ct);
        return new One<ReplayedView>(replayed);
    }

    /// <summary>Sends it an event `webhook.test` now, also when it is disabled, and answers what came of it. Such an event stands in no log and is not sent again.</summary>
    [HttpPost("{id}/test")]
    public async Task<One<AttemptView>> Test(string id, CancellationToken ct)
    {
        var webhook = await FindAsync(id, ct);
        var now = clock.GetUtcNow();
        var (eventId, attemptId) = (Ids.New(Ids.Event, now), Ids.New(Ids.Attempt, now));
        var data = new RawJson(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(WebhookView.Of(webhook), Json.Options));
        var result = await sender.SendAsync(webhook.Url, webhook.Secrets(box, now), new EventView(eventId, EventType.WebhookTest.Wire(), now, data), ct);
        return new One<AttemptView>(new AttemptView(attemptId, eventId, EventType.WebhookTest.Wire(), 1, result.Succeeded, result.Status, result.Error, result.Answer, (int)result.Took.TotalMilliseconds, result.At, null));
    }

    private async Task RequireReachableAsync(string url, CancellationToken ct)
    {
        if (await OutboundAddress.FaultInNameAsync(url, settings.Value.AllowPrivateNetworks, ct) is { } fault) throw new ApiException(Errors.BadRequest($"url: {fault}"));
    }

    private async Task<Webhook> FindAsync(string id, CancellationToken ct) =>
        await db.Webhooks.FirstOrDefaultAsync(w => w.AppNo == app.No && w.Id == id, ct) ?? throw new ApiException(Errors.NotFound("webhook", id));
}
