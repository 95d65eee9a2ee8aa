using CampaignService.Feed;
using CampaignService.Idempotency;
using CampaignService.Templates;
using Npgsql;

namespace CampaignService.Notifications;

/// <summary>
/// Writes notifications with their keys and feed rows, in one statement and so all or nothing. Die before its commit: nothing happened.
/// Die after it: the key has the answer, and a repetition gets it.
/// </summary>
public sealed class NotificationStore([FromKeyedServices(NotificationPool.Key)] NpgsqlDataSource source, FeedSignal feed, TimeProvider clock)
{
    private const string Given = "n (app_no, id, template_id, template_version, template_slug, tag, receivers, duplicates, user_ids, user_vars, channel_nos";

    /// <summary>
    /// Where nothing can stand against them: no keys, and ids that were never used. Then the parts need not know of each other, and what goes in front of the log, a row
    /// for each app with all of its own, is known beforehand.
    /// </summary>
    private static readonly string Unguarded = $"""
        WITH made AS ({InsertNotifications($"{Rows(1, 11)} AS {Given})")}),
        told AS (INSERT INTO outbox_runs (app_no, subjects) SELECT run.app_no, run.ids::bigint[] FROM {Rows(18, 19)} AS run (app_no, ids))
        {InsertItems($"{Rows(12, 17)} AS r (app_no, source_id, channel_no, hours, user_id, vars)")}
        """;

    /// <summary>
    /// Keys in their order, so that two such statements cannot lock each other out; then the notifications that won their keys or have none. One that is
    /// there already is from an attempt whose outcome was unknown.
    /// </summary>
    private static readonly string Guarded = $"""
        WITH won AS ( -- idempotency_keys' key
          INSERT INTO idempotency_keys AS k (app_no, key, digest, state, status, answer, at)
          SELECT app_no, key, digest, 3, 200, answer, clock_timestamp() FROM {Rows(19, 22)} AS u (app_no, key, digest, answer)
          ORDER BY app_no, key
          ON CONFLICT (app_no, key) DO UPDATE
          SET digest = excluded.digest, state = excluded.state, token = NULL, status = excluded.status, answer = excluded.answer, location = NULL, person = NULL, at = excluded.at
          WHERE {IdempotencyKeys.IsFree}
          RETURNING app_no, key),
        made AS ( -- notifications' key
          {InsertNotifications($"""
            {Rows(1, 11, 18)} AS {Given}, key)
            WHERE n.key IS NULL OR EXISTS (SELECT 1 FROM won WHERE won.app_no = n.app_no AND won.key = n.key)
            """)}
          ON CONFLICT (app_no, id) DO NOTHING
          RETURNING app_no, id),
        told AS (INSERT INTO outbox_runs (app_no, subjects) SELECT app_no, array_agg(id ORDER BY id) FROM made GROUP BY app_no)
        {InsertItems($"made JOIN {Rows(12, 17)} AS r (app_no, source_id, channel_no, hours, user_id, vars) ON r.source_id = made.id")}
        RETURNING source_id
        """;

    /// <param name="batch">At most as many as a block of ids has; no key twice. Each is told what came of it by whoever calls.</param>
    /// <param name="ids">The block of ids of all writes.</param>
    /// <param name="isRetry">Their commit was tried before, and nobody knows whether it was made.</param>
    public async Task StoreAsync(IReadOnlyList<PendingNotification> batch, NotificationIds ids, bool isRetry)
    {
        await using var connection = await source.OpenConnectionAsync();
        long? first;
        while ((first = ids.Take(batch.Count, clock)) is null)
        {
            await using var next = new NpgsqlCommand("SELECT next_id()", connection);
            ids.Renew((long)(await next.ExecuteScalarAsync())!, clock);
        }
        for (var i = 0; i < batch.Count; i++) batch[i].Name(first.Value + i);

        var keyed = batch.Where(n => n.Request is not null).ToArray();
        var isGuarded = isRetry || keyed.Length > 0;
        var asksForIds = ids.AreWanted(clock);
        await using var commands = new NpgsqlBatch(connection) { BatchCommands = { WriteCommand(batch, keyed, isGuarded) } };
        if (asksForIds) commands.BatchCommands.Add(new("SELECT next_id()"));
        if (keyed.Length > 0) commands.BatchCommands.Add(ReadKeysCommand(keyed));
        await using var reader = await commands.ExecuteReaderAsync();
        var written = new HashSet<long>();
        if (isGuarded)
        {
            while (await reader.ReadAsync()) written.Add(reader.GetInt64(0));
            await reader.NextResultAsync();
        }
        if (asksForIds)
        {
            await reader.ReadAsync();
            ids.Renew(reader.GetInt64(0), clock);
            await reader.NextResultAsync();
        }
        var kept = new Dictionary<int, (byte[] Digest, KeyState State, KeptAnswer? Answer)>();
        while (keyed.Length > 0 && await reader.ReadAsync())
        {
            var state = (KeyState)reader.GetInt16(2);
            kept[reader.GetInt32(0)] = (reader.GetFieldValue<byte[]>(1), state,
                state == KeyState.Answered ? new KeptAnswer(reader.GetInt16(3), reader.GetFieldValue<byte[]>(4)) : null);
        }
        // The batch commits at its end: only when that is read may anybody be answered.
        await reader.NextResultAsync();
        await reader.DisposeAsync();
        feed.Wake();

        for (var i = 0; i < keyed.Length; i++)
        {
            if (!written.Contains(keyed[i].Id)) Repeat(keyed[i], kept.GetValueOrDefault(i + 1));
        }
        foreach (var one in batch.Where(n => !n.IsSettled))
        {
            if (!isGuarded || written.Contains(one.Id) || (isRetry && one.Request is null)) one.Settle();
            else one.Settle(new InvalidOperationException($"Notification {one.Id} was not written, although nothing stands against it."));
        }
    }

    /// <summary>
    /// Arrays side by side as rows. In the select list they are walked together; <c>unnest</c> of several in FROM keeps each in a store of its own first, which
    /// took almost half of the time of reading them.
    /// </summary>
    private static string Rows(int first, int last, params int[] more) =>
        $"(SELECT {string.Join(", ", Enumerable.Range(first, last - first + 1).Concat(more).Select(parameter => $"unnest(${parameter})"))})";

    private static string InsertNotifications(string given) => $"""
        INSERT INTO notifications (app_no, id, mode, status, template_id, template_version, template_slug, tag, receivers, duplicates, user_ids, user_vars, channel_nos, created_at, completed_at)
        SELECT n.app_no, n.id, 1, 2, n.template_id, n.template_version, n.template_slug, n.tag, n.receivers, n.duplicates, n.user_ids::text[], n.user_vars::text[], n.channel_nos::int[],
          clock_timestamp(), clock_timestamp()
        FROM {given}
        """;

    private static string InsertItems(string given) => $"""
        INSERT INTO feed_items (app_no, channel_no, id, source_id, expires_at, user_id, vars)
        SELECT r.app_no, r.channel_no, next_id(), r.source_id, CASE WHEN r.hours > 0 THEN clock_timestamp() + make_interval(hours => r.hours) END, r.user_id, r.vars::text[]
        FROM {given}
        """;

    /// <summary>The key was taken: by this very notification when its first attempt was committed after all, else by another request.</summary>
    private static void Repeat(PendingNotification notification, (byte[] Digest, KeyState State, KeptAnswer? Answer) kept)
    {
        try
        {
            var answer = kept.Digest is null
                ? throw new Common.ApiException(Common.Errors.IdempotencyInProgress())
                : IdempotencyKeys.Meet(notification.Request!, kept.Digest, kept.State, kept.Answer);
            notification.Settle(new StoredNotification(answer, Replayed: !answer.Body.AsSpan().SequenceEqual(notification.AnswerBody)));
        }
        catch (Common.ApiException e)
        {
            notification.Settle(e);
        }
    }

    private static NpgsqlBatchCommand WriteCommand(IReadOnlyList<PendingNotification> batch, PendingNotification[] keyed, bool isGuarded)
    {
        var items = new List<(PendingNotification Of, SendableChannel Channel, int Receiver)>(batch.Count);
        foreach (var notification in batch)
        {
            for (var receiver = 0; receiver < notification.UserIds.Count; receiver++)
            {
                foreach (var channel in notification.Template.Enabled) items.Add((notification, channel, receiver));
            }
        }
        var command = new NpgsqlBatchCommand(isGuarded ? Guarded : Unguarded);
        Add(batch.Select(n => n.Template.Version.AppNo).ToArray());
        Add(batch.Select(n => n.Id).ToArray());
        Add(batch.Select(n => n.Template.Version.TemplateId).ToArray());
        Add(batch.Select(n => n.Template.Version.Version).ToArray());
        Add(batch.Select(n => n.Template.Slug).ToArray());
        Add(batch.Select(n => n.Tag).ToArray());
        Add(batch.Select(n => n.UserIds.Count).ToArray());
        Add(batch.Select(n => n.Duplicates).ToArray());
        Add(batch.Select(n => n.Texts.UserIds).ToArray());
        Add(batch.Select(n => n.Texts.All).ToArray());
        Add(batch.Select(n => n.Template.EnabledNumbers).ToArray());
        Add(items.Select(i => i.Of.Template.Version.AppNo).ToArray());
        Add(items.Select(i => i.Of.Id).ToArray());
        Add(items.Select(i => i.Channel.Channel.No).ToArray());
        Add(items.Select(i => i.Channel.RetentionHours).ToArray());
        Add(items.Select(i => i.Of.UserIds[i.Receiver]).ToArray());
        Add(items.Select(i => i.Of.Texts.Each[i.Receiver]).ToArray());
        if (!isGuarded)
        {
            var runs = batch.GroupBy(n => n.Template.Version.AppNo).ToArray();
            Add(runs.Select(run => run.Key).ToArray());
            Add(runs.Select(run => $"{{{string.Join(',', run.Select(n => n.Id))}}}").ToArray());
            return command;
        }
        Add(batch.Select(n => n.Request?.Key).ToArray());
        Add(keyed.Select(n => n.Request!.AppNo).ToArray());
        Add(keyed.Select(n => n.Request!.Key).ToArray());
        Add(keyed.Select(n => n.Request!.Digest).ToArray());
        Add(keyed.Select(n => n.AnswerBody).ToArray());
        return command;

        void Add<T>(T value) => command.Parameters.Add(new NpgsqlParameter<T> { TypedValue = value });
    }

    private static NpgsqlBatchCommand ReadKeysCommand(PendingNotification[] keyed) => new("""
        SELECT u.no::int, k.digest, k.state, k.status, k.answer FROM unnest($1, $2) WITH ORDINALITY AS u (app_no, key, no)
        JOIN idempotency_keys k ON k.app_no = u.app_no AND k.key = u.key -- idempotency_keys' key
        """)
    {
        Parameters = { new() { Value = keyed.Select(n => n.Request!.AppNo).ToArray() }, new() { Value = keyed.Select(n => n.Request!.Key).ToArray() } },
    };
}
