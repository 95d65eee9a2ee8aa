using System.Runtime.CompilerServices;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Users;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// The notifications to few that went to one person, and the kept answers that name them. In notifications an id that is nobody's takes their
/// place, so that totals stay; an answer is lost, and its key says so.
/// </summary>
/// <remarks>Goes through all notifications of the app: an index by receiver would cost every send more than the rare erasure.</remarks>
public sealed class NotificationRecords(CampaignsDb db, NpgsqlDataSource source) : IPersonalData
{
    public string Kind => "notifications";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.Timeout = 0;
        // notifications' key, by app
        batch.BatchCommands.Add(new("""
            UPDATE notifications SET user_vars[array_position(user_ids, $2)] = '{}', user_ids = array_replace(user_ids, $2, ' erased-' || replace(gen_random_uuid()::text, '-', ''))
            WHERE app_no = $1 AND $2 = ANY(user_ids)
            """) { Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } } });
        // idempotency_keys' key, by app: those of a day
        batch.BatchCommands.Add(new("DELETE FROM idempotency_keys WHERE app_no = $1 AND person = $2") { Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } } });
        // The same. Where the id stands as a value, or in the name of a fault; short ids are parts of many words.
        batch.BatchCommands.Add(new("""
            UPDATE idempotency_keys SET state = 2, status = NULL, answer = NULL, location = NULL
            WHERE app_no = $1 AND (position(convert_to($2, 'UTF8') IN answer) > 0 OR position(convert_to($3, 'UTF8') IN answer) > 0)
            """)
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = $":{JsonSerializer.Serialize(person.UserId, Json.Options)}" }, new() { Value = $"ariables.{JsonEncodedText.Encode(person.UserId, Json.Options.Encoder)}" } },
        });
        await batch.ExecuteNonQueryAsync(ct);
        return batch.BatchCommands[0].RecordsAffected;
    }

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        var sent = db.Notifications.AsNoTracking().Where(n => n.AppNo == person.AppNo && n.UserIds.Contains(person.UserId)).OrderBy(n => n.Id);
        await foreach (var n in sent.AsAsyncEnumerable().WithCancellation(ct))
        {
            yield return new { NotificationId = n.PublicId, TemplateId = n.TemplateSlug, n.TemplateVersion, n.Tag, Values = TextArray.Read(n.UserVars[Array.IndexOf(n.UserIds, person.UserId)]), n.CreatedAt };
        }
    }
}
