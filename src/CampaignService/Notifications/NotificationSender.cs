using System.Buffers;
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.Delivery;
using CampaignService.Idempotency;
using CampaignService.Templates;
using CampaignService.Tenancy;

namespace CampaignService.Notifications;

/// <summary>Sends a direct notification: to few within the call, to more as a batch ahead of campaigns.</summary>
public sealed class NotificationSender(CurrentApp app, SendableTemplates templates, NotificationWriter writer, IServiceProvider services)
{
    private static readonly ConditionalWeakTable<SendableTemplate, byte[]> Answers = [];

    private static ReadOnlySpan<byte> NoId => "_0000000000000000"u8;

    /// <param name="body">Checked for its shape.</param>
    /// <param name="request">The key it came with.</param>
    /// <param name="ct">Stops it, as long as nothing is written.</param>
    public async Task<StoredNotification> SendAsync(SendNotification body, IdempotentRequest? request, CancellationToken ct)
    {
        var template = await templates.FindAsync(app, body.TemplateId, body.TemplateVersion, ct);
        var audience = Read(body, template.Schema);
        var mode = audience.UserIds.Count > SendNotification.MaxRealtime ? NotificationMode.Batch : NotificationMode.Realtime;
        if (mode == NotificationMode.Realtime) RequireValues(template, audience);
        // Asked for only here: it comes with a DbContext, which sending to few has no use for.
        if (mode == NotificationMode.Batch || template.GoesOut) return await services.GetRequiredService<NotificationQueue>().AddAsync(template, Text.TrimToNull(body.Tag), audience, mode, request, ct);
        return await writer.WriteAsync(
            new PendingNotification(template, Text.TrimToNull(body.Tag), audience.UserIds, audience.Values, audience.Duplicates, request, id => AnswerOf(template, audience.Duplicates, id)), ct);
    }

    private static byte[] AnswerOf(SendableTemplate template, int duplicates, long id)
    {
        if (duplicates > 0) return Bytes(new SentNotification(Ids.FromNumber(Ids.Notification, id), ChannelsOf(template), NotificationMode.Realtime, duplicates));
        // Without any it is the same for all of a template, but for the id.
        var answer = Answers.GetValue(template, t => Bytes(new SentNotification(Ids.FromNumber(Ids.Notification, 0), ChannelsOf(t), NotificationMode.Realtime, 0))).ToArray();
        Utf8Formatter.TryFormat(id, answer.AsSpan(answer.AsSpan().IndexOf(NoId) + 1, NoId.Length - 1), out _, new StandardFormat('x', (byte)(NoId.Length - 1)));
        return answer;
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
        var faults = new List<string>();
        for (var i = 0; i < audience.UserIds.Count; i++)
        {
            foreach (var required in template.Required)
            {
                if (audience.Values[i][required.Position] is null) faults.Add($"variables.{audience.UserIds[i]}.{required.Key}: is required by the template and has no default");
            }
        }
        if (faults.Count > 0) throw new ApiException(Errors.InvalidVariables(faults));
    }

    internal static IReadOnlyList<ChannelName> ChannelsOf(SendableTemplate template) =>
        [.. template.Enabled.Select(c => new ChannelName(c.Channel.ChannelId, c.Channel.Type))];

    internal static byte[] Bytes<T>(T answer) => JsonSerializer.SerializeToUtf8Bytes(new One<T>(answer), Json.Options);
}

/// <summary>Whom a direct notification goes to.</summary>
/// <param name="UserIds">Each once.</param>
/// <param name="Values">For each of them the values by the places of the variables in the schema.</param>
/// <param name="Duplicates">How often one was named again.</param>
public sealed record Audience(IReadOnlyList<string> UserIds, IReadOnlyList<string?[]> Values, int Duplicates);
