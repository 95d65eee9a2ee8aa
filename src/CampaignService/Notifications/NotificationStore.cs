using CampaignService.Data;
using CampaignService.Feed;
using CampaignService.Idempotency;
using CampaignService.Webhooks;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// Writes notifications with their keys and feed rows, in one statement and so all or nothing. Die before its commit: nothing happened.
/// Die after it: the key has the answer, and a repetition gets it.
/// </summary>
public sealed class NotificationStore([FromKeyedServices(NotificationPool.Key)] NpgsqlDataSource source, FeedSignal feed, TimeProvider clock)
{
    /// <summary>
    /// Keys in their order, so that two such statements cannot lock each other out; then the notifications that won their keys or have none;
    /// then their feed rows, and an event for each. One that is there already is from an attempt whose outcome was unknown.
    /// </summary>
    private static readonly string Write = $"""
        WITH won AS ( -- idempotency_keys' key
          INSERT INTO idempotency_keys AS k (app_no, key, digest, state, status, answer, at)
          SELECT app_no, key, digest, 3, 200, answer, clock_timestamp() FROM unnest($1, $2, $3, $4) AS u (app_no, key, digest, answer)
          ORDER BY app_no, key
          ON CONFLICT (app_no, key) DO UPDATE
          SET digest = excluded.digest, state = excluded.state, token = NULL, status = excluded.status, answer = excluded.answer, location = NULL, person = NULL, at = excluded.at
          WHERE {IdempotencyKeys.IsFree}
          RETURNING app_no, key),
        made AS ( -- notifications' key
          INSERT INTO notifications (app_no, id, mode, status, template_id, template_version, template_slug, tag, receivers, duplicates, user_ids, user_vars, channel_nos, created_at, completed_at)
          SELECT n.app_no, n.id, 1, 2, n.template_id, n.template_version, n.template_slug, n.tag, cardinality(n.user_ids::text[]), n.duplicates,
            n.user_ids::text[], n.user_vars::text[], n.channel_nos::int[], clock_timestamp(), clock_timestamp()
          FROM unnest($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS n (app_no, id, template_id, template_version, template_slug, tag, duplicates, user_ids, user_vars, channel_nos, key)
          WHERE n.key IS NULL OR EXISTS (SELECT 1 FROM won WHERE won.app_no = n.app_no AND won.key = n.key)
          ON CONFLICT (app_no, id) DO NOTHING
          RETURNING app_no, id),
        told AS (
          INSERT INTO outbox_events (app_no, type, subject) SELECT app_no, {(short)EventType.NotificationSent}, id FROM made)
        INSERT INTO feed_items (app_no, channel_no, id, source_id, expires_at, user_id, vars)
        SELECT made.app_no, c.channel_no, next_id(), made.id, CASE WHEN c.hours > 0 THEN clock_timestamp() + make_interval(hours => c.hours) END, r.user_id, r.vars::text[]
        FROM made JOIN unnest($16, $17, $18) AS r (source_id, user_id, vars) ON r.source_id = made.id
        JOIN unnest($19, $20, $21) AS c (source_id, channel_no, hours) ON c.source_id = made.id
        RETURNING source_id
        """;

    /// <param name="batch">At most as many as a block of ids has; no key twice.</param>
    /// <param name="ids">The caller's block of ids.</param>
    /// <param name="isRetry">Their commit was tried before, and nobody knows whether it was made.</param>
    public async Task StoreAsync(IReadOnlyList<PendingNotification> batch, NotificationIds ids, bool isRetry)
    {
        await using var connection = await source.OpenConnectionAsync();
        if (!ids.Has(batch.Count, clock))
        {
            await using var next = new NpgsqlCommand("SELECT next_id()", connection);
            ids.Renew((long)(await next.ExecuteScalarAsync())!, clock);
        }
        foreach (var one in batch) one.Name(ids.Take());

        var keyed = batch.Where(n => n.Request is not null).ToArray();
        await using var commands = new NpgsqlBatch(connection) { BatchCommands = { WriteCommand(batch, keyed), ReadKeysCommand(keyed), new("SELECT next_id()") } };
        await using var reader = await commands.ExecuteReaderAsync();
        var written = new HashSet<long>();
        while (await reader.ReadAsync()) written.Add(reader.GetInt64(0));
        await reader.NextResultAsync();
        var kept = new Dictionary<int, (byte[] Digest, KeyState State, KeptAnswer? Answer)>();
        while (await reader.ReadAsync())
        {
            var state = (KeyState)reader.GetInt16(2);
            kept[reader.GetInt32(0)] = (reader.GetFieldValue<byte[]>(1), state,
                state == KeyState.Answered ? new KeptAnswer(reader.GetInt16(3), reader.GetFieldValue<byte[]>(4)) : null);
        }
        await reader.NextResultAsync();
        if (await reader.ReadAsync()) ids.Renew(reader.GetInt64(0), clock);
        // The batch commits at its end: only when that is read may anybody be answered.
        await reader.NextResultAsync();
        await reader.DisposeAsync();
        feed.Wake();

        for (var i = 0; i < keyed.Length; i++)
        {
            if (!written.Contains(keyed[i].Id)) Repeat(keyed[i], kept.GetValueOrDefault(i + 1));
        }
        foreach (var one in batch)
        {
            if (written.Contains(one.Id) || (isRetry && one.Request is null)) one.Done.TrySetResult(new(new KeptAnswer(200, one.AnswerBody), Replayed: false));
            else one.Done.TrySetException(new InvalidOperationException($"Notification {one.Id} was not written, although nothing stands against it."));
        }
    }

    /// <summary>The key was taken: by this very notification when its first attempt was committed after all, else by another request.</summary>
    private static void Repeat(PendingNotification notification, (byte[] Digest, KeyState State, KeptAnswer? Answer) kept)
    {
        try
        {
            var answer = kept.Digest is null
                ? throw new Common.ApiException(Common.Errors.IdempotencyInProgress())
                : IdempotencyKeys.Meet(notification.Request!, kept.Digest, kept.State, kept.Answer);
            notification.Done.TrySetResult(new(answer, Replayed: !answer.Body.AsSpan().SequenceEqual(notification.AnswerBody)));
        }
        catch (Common.ApiException e)
        {
            notification.Done.TrySetException(e);
        }
    }

    private static NpgsqlBatchCommand WriteCommand(IReadOnlyList<PendingNotification> batch, PendingNotification[] keyed)
    {
        var receivers = batch.SelectMany(n => n.UserIds.Select((user, i) => (n.Id, User: user, Vars: TextArray.Literal(n.Values[i])))).ToArray();
        var channels = batch.SelectMany(n => n.Template.Channels.Where(c => c.Channel.Enabled).Select(c => (n.Id, c.Channel.No, c.RetentionHours))).ToArray();
        object[] values =
        [
            keyed.Select(n => n.Request!.AppNo).ToArray(),
            keyed.Select(n => n.Request!.Key).ToArray(),
            keyed.Select(n => n.Request!.Digest).ToArray(),
            keyed.Select(n => n.AnswerBody).ToArray(),
            batch.Select(n => n.Template.Version.AppNo).ToArray(),
            batch.Select(n => n.Id).ToArray(),
            batch.Select(n => n.Template.Version.TemplateId).ToArray(),
            batch.Select(n => n.Template.Version.Version).ToArray(),
            batch.Select(n => n.Template.Slug).ToArray(),
            batch.Select(n => n.Tag).ToArray(),
            batch.Select(n => n.Duplicates).ToArray(),
            batch.Select(n => TextArray.Literal([.. n.UserIds])).ToArray(),
            batch.Select(n => TextArray.Literal([.. n.Values.Select(v => TextArray.Literal(v))])).ToArray(),
            batch.Select(n => $"{{{string.Join(',', n.Template.Channels.Where(c => c.Channel.Enabled).Select(c => c.Channel.No))}}}").ToArray(),
            batch.Select(n => n.Request?.Key).ToArray(),
            receivers.Select(r => r.Id).ToArray(),
            receivers.Select(r => r.User).ToArray(),
            receivers.Select(r => r.Vars).ToArray(),
            channels.Select(c => c.Id).ToArray(),
            channels.Select(c => c.No).ToArray(),
            channels.Select(c => c.RetentionHours).ToArray(),
        ];
        var command = new NpgsqlBatchCommand(Write);
        foreach (var value in values) command.Parameters.Add(new() { Value = value });
        return command;
    }

    private static NpgsqlBatchCommand ReadKeysCommand(PendingNotification[] keyed) => new("""
        SELECT u.no::int, k.digest, k.state, k.status, k.answer FROM unnest($1, $2) WITH ORDINALITY AS u (app_no, key, no)
        JOIN idempotency_keys k ON k.app_no = u.app_no AND k.key = u.key -- idempotency_keys' key
        """)
    {
        Parameters = { new() { Value = keyed.Select(n => n.Request!.AppNo).ToArray() }, new() { Value = keyed.Select(n => n.Request!.Key).ToArray() } },
    };
}
