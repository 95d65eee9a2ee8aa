using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Idempotency;
using CampaignService.Templates;
using CampaignService.Tenancy;
using CampaignService.Webhooks;

namespace CampaignService.Notifications;

/// <summary>Sends a direct notification: to few within the call, to more as a batch ahead of campaigns.</summary>
public sealed class NotificationSender(CampaignsDb db, CurrentApp app, SendableTemplates templates, NotificationWriter writer, WorkSignal signal, TimeProvider clock)
{
    private sealed record Audience(IReadOnlyList<string> UserIds, IReadOnlyList<string?[]> Values, int Duplicates);

    /// <param name="body">Checked for its shape.</param>
    /// <param name="request">The key it came with.</param>
    /// <param name="ct">Stops it, as long as nothing is written.</param>
    public async Task<StoredNotification> SendAsync(SendNotification body, IdempotentRequest? request, CancellationToken ct)
    {
        var template = await templates.FindAsync(app, body.TemplateId, body.TemplateVersion, ct);
        var audience = Read(body, template.Schema);
        if (audience.UserIds.Count > SendNotification.MaxRealtime) return await QueueAsync(body, template, audience, request, ct);
        RequireValues(template, audience);
        return await writer.WriteAsync(new PendingNotification(template, Text.TrimToNull(body.Tag), audience.UserIds, audience.Values, audience.Duplicates, request,
            id => Bytes(new SentNotification(Ids.FromNumber(Ids.Notification, id), ChannelsOf(template), NotificationMode.Realtime, audience.Duplicates))), ct);
    }

    /// <summary>Batch, recipients, chunks and the key are one transaction: the answer is given when all of it is there.</summary>
    private async Task<StoredNotification> QueueAsync(SendNotification body, SendableTemplate template, Audience audience, IdempotentRequest? request, CancellationToken ct)
    {
        var rows = new RecipientRows([.. template.Schema.Variables.Select(v => v.Key)], audience.UserIds.Count);
        for (var i = 0; i < audience.UserIds.Count; i++) rows.Add(audience.UserIds[i], audience.Values[i]);
        rows.SortAndDeduplicate();

        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var batch = Batch.Create(BatchKind.Notification, "", template.Version, new Dictionary<string, string>());
        db.Add(batch);
        await db.SaveChangesAsync(ct);
        await RecipientImport.AddAsync(db, batch, rows, audience.Duplicates, rejected: 0, ct);
        var now = clock.GetUtcNow();
        var notification = Notification.Queue(batch, template.Slug, Text.TrimToNull(body.Tag), rows.Count, audience.Duplicates, now);
        db.Add(notification);
        batch.Start(now);
        await ChunkPlanner.PlanAsync(db, batch, [.. template.Channels.Select(c => c.Channel)], direct: true, ct);
        await db.SaveChangesAsync(ct);
        await EventLog.AppendAsync(db.Connection, app.No, EventType.NotificationCreated, await new NotificationViews(db).OfAsync(notification, ct), person: null, ct);
        var answer = new KeptAnswer(202, Bytes(new QueuedNotification(notification.PublicId, rows.Count, ChannelsOf(template), NotificationMode.Batch, audience.Duplicates)));
        // Last, for whoever comes with the same key waits here for our commit.
        if (request is not null && await IdempotencyKeys.StoreAsync(db.Connection, request, answer, ct) is { } first) return new StoredNotification(first, Replayed: true);
        await transaction.CommitAsync(ct);
        // Die here and the workers find the chunks by their next poll.
        signal.Wake();
        return new StoredNotification(answer, Replayed: false);
    }

    private static Audience Read(SendNotification body, VariableSchema schema)
    {
        var given = (body.Variables ?? []).ToDictionary(v => v.Key.Trim(), v => v.Value);
        var (ids, values, seen, faults) = (new List<string>(body.Receivers.Count), new List<string?[]>(body.Receivers.Count), new HashSet<string>(), new List<string>());
        var held = new Dictionary<string, string>();
        foreach (var userId in body.Receivers.Select(r => r.Trim()).Where(seen.Add))
        {
            held.Clear();
            if (given.GetValueOrDefault(userId) is { } theirs) VariableValues.Read(schema, theirs, $"variables.{userId}", held, faults);
            if (faults.Count >= JsonFaults.MaxFaults) break;
            ids.Add(userId);
            values.Add([.. schema.Variables.Select(v => held.GetValueOrDefault(v.Key))]);
        }
        return faults.Count == 0 ? new Audience(ids, values, body.Receivers.Count - ids.Count) : throw new ApiException(Errors.BadRequest(faults));
    }

    /// <summary>Nobody is skipped on this path: the caller is there to be told.</summary>
    private static void RequireValues(SendableTemplate template, Audience audience)
    {
        var required = template.Channels.Where(c => c.Channel.Enabled).SelectMany(c => c.Template.Requirements).DistinctBy(v => v.Key).ToArray();
        string[] faults = [.. audience.UserIds.SelectMany((user, i) => required.Where(v => audience.Values[i][v.Position] is null)
            .Select(v => $"variables.{user}.{v.Key}: is required by the template and has no default"))];
        if (faults.Length > 0) throw new ApiException(Errors.InvalidVariables(faults));
    }

    private static IReadOnlyList<ChannelName> ChannelsOf(SendableTemplate template) =>
        [.. template.Channels.Where(c => c.Channel.Enabled).Select(c => new ChannelName(c.Channel.ChannelId, c.Channel.Type))];

    private static byte[] Bytes<T>(T answer) => JsonSerializer.SerializeToUtf8Bytes(new One<T>(answer), Json.Options);
}
