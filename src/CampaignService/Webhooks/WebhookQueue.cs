using CampaignService.Data;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>A delivery that this process has the lease of.</summary>
/// <param name="WebhookNo">To which webhook.</param>
/// <param name="AppNo">Whose that is.</param>
/// <param name="Seq">Of which event.</param>
/// <param name="Token">Of the lease.</param>
/// <param name="Attempts">How many failed before.</param>
/// <param name="WebhookId">The webhook's id.</param>
/// <param name="Url">Its address.</param>
/// <param name="Secret">Sealed.</param>
/// <param name="OldSecret">Sealed; null when it does not count any more.</param>
/// <param name="Event">Null when it is kept no longer.</param>
public sealed record DueDelivery(
    int WebhookNo, int AppNo, long Seq, Guid Token, short Attempts, string WebhookId, string Url, byte[] Secret, byte[]? OldSecret, EventRow? Event);

/// <summary>A delivery and what came of it.</summary>
/// <param name="Delivery">The delivery.</param>
/// <param name="Result">Null: it was not made, and is not to be made any more.</param>
/// <param name="Again">How long to wait before it is tried again; null: never.</param>
public sealed record AttemptedDelivery(DueDelivery Delivery, CallResult? Result, TimeSpan? Again);

/// <summary>
/// The deliveries that are to be made, of all processes. One is taken by a lease, in a commit of its own: die after it and before the result is
/// written, and it is made again when the lease ends, with the same event id. So an event comes at least once.
/// </summary>
public sealed class WebhookQueue(NpgsqlDataSource source)
{
    /// <summary>Longer than a call takes, with the writing of its result.</summary>
    private const string Lease = "30 seconds";

    /// <summary>Events that one call of replay puts in line.</summary>
    public const int MaxReplay = 100_000;

    private const string IsDue = "due_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until < clock_timestamp())";

    /// <summary>The webhooks for which something is due, in order. In a restored copy of a database none, until <see cref="WebhookSwitch.DisableAllAsync"/> was there.</summary>
    public async Task<IReadOnlyList<(int WebhookNo, int AppNo)>> WaitingAsync(CancellationToken ct)
    {
        // webhook_deliveries_due, from one webhook to the next: as many steps as webhooks, however many deliveries wait. webhooks' index on no.
        await using var command = source.CreateCommand($"""
            WITH RECURSIVE waiting (no) AS (
              SELECT (SELECT webhook_no FROM webhook_deliveries ORDER BY webhook_no LIMIT 1)
              UNION ALL
              SELECT (SELECT d.webhook_no FROM webhook_deliveries d WHERE d.webhook_no > w.no ORDER BY d.webhook_no LIMIT 1) FROM waiting w WHERE w.no IS NOT NULL)
            SELECT w.no, e.app_no FROM waiting w JOIN webhooks e ON e.no = w.no AND e.enabled
            WHERE (SELECT {DatabaseCopy.IsSame} FROM delivery_pulse) AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_no = w.no AND {IsDue}) ORDER BY w.no
            """);
        var found = new List<(int, int)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add((reader.GetInt32(0), reader.GetInt32(1)));
        return found;
    }

    /// <summary>Takes some for each of these webhooks, those first that have been due for longest.</summary>
    public async Task<IReadOnlyList<DueDelivery>> ClaimAsync(IReadOnlyList<(int WebhookNo, int AtMost)> shares, CancellationToken ct)
    {
        var token = Guid.NewGuid();
        // webhook_deliveries_due, once for each webhook; events' key; webhooks' index on no
        await using var command = source.CreateCommand($"""
            WITH claimed AS (
              UPDATE webhook_deliveries d SET lease_token = $3, lease_until = clock_timestamp() + interval '{Lease}'
              FROM unnest($1, $2) AS s (no, n) CROSS JOIN LATERAL (
                SELECT webhook_no, seq FROM webhook_deliveries WHERE webhook_no = s.no AND {IsDue} ORDER BY due_at LIMIT s.n FOR NO KEY UPDATE SKIP LOCKED) AS p
              WHERE d.webhook_no = p.webhook_no AND d.seq = p.seq
              RETURNING d.webhook_no, d.app_no, d.seq, d.attempts, coalesce(d.row_seq, d.seq) AS row_seq)
            SELECT c.webhook_no, c.app_no, c.seq, c.attempts, e.id, e.url, e.secret, CASE WHEN e.old_secret_until > clock_timestamp() THEN e.old_secret END, {EventRow.Columns}
            FROM claimed c JOIN webhooks e ON e.no = c.webhook_no LEFT JOIN events v ON v.app_no = c.app_no AND v.seq = c.row_seq
            """);
        command.Parameters.Add(new() { Value = shares.Select(s => s.WebhookNo).ToArray() });
        command.Parameters.Add(new() { Value = shares.Select(s => s.AtMost).ToArray() });
        command.Parameters.Add(new() { Value = token });
        var claimed = new List<DueDelivery>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            claimed.Add(new DueDelivery(reader.GetInt32(0), reader.GetInt32(1), reader.GetInt64(2), token, reader.GetInt16(3), reader.GetString(4), reader.GetString(5),
                reader.GetFieldValue<byte[]>(6), reader.IsDBNull(7) ? null : reader.GetFieldValue<byte[]>(7), EventRow.Find(reader, 8, reader.GetInt64(2))));
        }
        return claimed;
    }

    /// <summary>Notes what came of deliveries: all of it or nothing. A delivery whose lease went to another process in the meantime is that one's; its attempt is listed all the same.</summary>
    /// <returns>The webhooks that have taken nothing for so long that they are to be disabled.</returns>
    public async Task<IReadOnlyList<(int WebhookNo, string Url)>> RecordAsync(IReadOnlyList<AttemptedDelivery> attempted, TimeSpan disableAfter, CancellationToken ct)
    {
        var called = attempted.Where(a => a.Result is not null).ToArray();
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { LockCommand(attempted), SettleCommand(attempted), ListCommand(called), HealthCommand(called, disableAfter) } };
        var failing = new List<(int, string)>();
        // The first and the last answer rows; those of the first are the locks.
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            if (reader.GetBoolean(2)) failing.Add((reader.GetInt32(0), reader.GetString(1)));
        }
        // The batch commits at its end.
        await reader.NextResultAsync(ct);
        return failing;
    }

    /// <summary>Lets others have at once what was not tried, or not to its end.</summary>
    public async Task GiveBackAsync(IReadOnlyCollection<DueDelivery> deliveries, CancellationToken ct)
    {
        // webhook_deliveries' key
        await using var command = source.CreateCommand("""
            UPDATE webhook_deliveries d SET lease_token = NULL, lease_until = NULL
            FROM unnest($1, $2, $3) AS g (no, seq, token) WHERE d.webhook_no = g.no AND d.seq = g.seq AND d.lease_token = g.token
            """);
        AddKeys(command.Parameters, deliveries);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Puts the events of a time in line again, the oldest first, also those that wait to be sent again. A call that is under way loses its lease:
    /// what comes of it does not take away what was asked for after it had begun.
    /// </summary>
    public static async Task<ReplayedView> ReplayAsync(NpgsqlConnection connection, Webhook webhook, DateTimeOffset from, DateTimeOffset to, CancellationToken ct)
    {
        // events_at, then events' rows; webhook_deliveries' key. Callers know times to the millisecond only.
        await using var command = new NpgsqlCommand($"""
            WITH locked AS MATERIALIZED (SELECT no FROM webhooks WHERE no = $5 FOR NO KEY UPDATE),
            chosen AS (
              SELECT e.seq, v.seq AS row_seq, v.at FROM events v CROSS JOIN LATERAL {EventRow.EachOf("v")} AS e (seq, type)
              WHERE v.app_no = $1 AND v.at >= $2 AND v.at < $3 AND e.type = ANY($4) ORDER BY v.at, e.seq LIMIT {MaxReplay + 1}),
            queued AS (
              INSERT INTO webhook_deliveries (webhook_no, seq, row_seq, app_no, due_at)
              SELECT l.no, seq, row_seq, $1, clock_timestamp() FROM locked l CROSS JOIN (SELECT seq, row_seq FROM chosen ORDER BY at, seq LIMIT {MaxReplay}) AS first
              ON CONFLICT (webhook_no, seq) DO UPDATE SET attempts = 0, due_at = excluded.due_at, lease_token = NULL, lease_until = NULL
              RETURNING seq)
            SELECT (SELECT count(seq) FROM queued)::integer, (SELECT CASE WHEN count(seq) > {MaxReplay} THEN max(at) END FROM chosen)
            """, connection);
        foreach (var value in new object[] { webhook.AppNo, from.ToUniversalTime(), to.ToUniversalTime().AddMilliseconds(1), EventTypes.ChosenBy(webhook.Events), webhook.No }) command.Parameters.Add(new() { Value = value });
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new ReplayedView(reader.GetInt32(0), reader.IsDBNull(1) ? null : reader.GetFieldValue<DateTimeOffset>(1));
    }

    /// <summary>Drops all that waits for a webhook, in the caller's transaction.</summary>
    public static async Task DropAsync(NpgsqlConnection connection, int webhookNo, CancellationToken ct)
    {
        // webhook_deliveries' key
        await using var command = new NpgsqlCommand("DELETE FROM webhook_deliveries WHERE webhook_no = $1", connection) { Parameters = { new() { Value = webhookNo } } };
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Webhooks before their deliveries, and in the order of their numbers: so does everybody who takes both, and none can lock another out.</summary>
    private static NpgsqlBatchCommand LockCommand(IReadOnlyList<AttemptedDelivery> attempted) =>
        // webhooks' index on no
        new("SELECT no FROM webhooks WHERE no = ANY($1) ORDER BY no FOR NO KEY UPDATE")
        {
            Parameters = { new() { Value = attempted.Select(a => a.Delivery.WebhookNo).Distinct().ToArray() } },
        };

    private static NpgsqlBatchCommand SettleCommand(IReadOnlyList<AttemptedDelivery> attempted)
    {
        // webhook_deliveries' key
        var command = new NpgsqlBatchCommand("""
            WITH results AS (SELECT * FROM unnest($1, $2, $3, $4) AS r (no, seq, token, again)),
            done AS (
              DELETE FROM webhook_deliveries d USING results r WHERE d.webhook_no = r.no AND d.seq = r.seq AND d.lease_token = r.token AND r.again IS NULL)
            UPDATE webhook_deliveries d SET attempts = attempts + 1, due_at = clock_timestamp() + r.again, lease_token = NULL, lease_until = NULL
            FROM results r WHERE d.webhook_no = r.no AND d.seq = r.seq AND d.lease_token = r.token AND r.again IS NOT NULL
            """);
        AddKeys(command.Parameters, [.. attempted.Select(a => a.Delivery)]);
        command.Parameters.Add(new() { Value = attempted.Select(a => a.Again).ToArray() });
        return command;
    }

    /// <summary>
    /// What a receiver said of somebody who was erased meanwhile is not kept. An erasure takes the event first: it waits for who holds it here, and
    /// then finds the attempt; or it was first, and the event names nobody any more.
    /// </summary>
    private static NpgsqlBatchCommand ListCommand(AttemptedDelivery[] called)
    {
        // events' key
        var command = new NpgsqlBatchCommand("""
            WITH attempted AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS a (no, event_id, type, person, attempt, status, error, answer, at, took_ms, again, app_no, seq)),
            known AS MATERIALIZED (
              SELECT app_no, seq, person FROM events WHERE (app_no, seq) IN (SELECT app_no, seq FROM attempted WHERE person IS NOT NULL) AND person IS NOT NULL ORDER BY app_no, seq FOR SHARE)
            INSERT INTO webhook_attempts (webhook_no, id, event_id, type, person, attempt, status, error, answer, at, took_ms, next_at)
            SELECT a.no, next_event_id(), a.event_id, a.type, k.person, a.attempt, a.status,
              CASE WHEN a.error IS NULL OR a.person IS NULL OR k.person IS NOT NULL THEN a.error ELSE $14 END, CASE WHEN a.person IS NULL OR k.person IS NOT NULL THEN a.answer END,
              a.at, a.took_ms, clock_timestamp() + a.again
            FROM attempted a LEFT JOIN known k ON k.app_no = a.app_no AND k.seq = a.seq AND k.person = a.person
            """);
        object[] values =
        [
            called.Select(a => a.Delivery.WebhookNo).ToArray(),
            called.Select(a => a.Delivery.Event!.Number).ToArray(),
            called.Select(a => (short)a.Delivery.Event!.Type).ToArray(),
            called.Select(a => a.Delivery.Event!.Person).ToArray(),
            called.Select(a => (short)(a.Delivery.Attempts + 1)).ToArray(),
            called.Select(a => a.Result!.Status).ToArray(),
            called.Select(a => a.Result!.Error).ToArray(),
            called.Select(a => a.Result!.Answer).ToArray(),
            called.Select(a => a.Result!.At.ToUniversalTime()).ToArray(),
            called.Select(a => (int)a.Result!.Took.TotalMilliseconds).ToArray(),
            called.Select(a => a.Again).ToArray(),
            called.Select(a => a.Delivery.AppNo).ToArray(),
            called.Select(a => a.Delivery.Seq).ToArray(),
            EventRecords.ErasedError,
        ];
        foreach (var value in values) command.Parameters.Add(new() { Value = value });
        return command;
    }

    /// <summary>
    /// Notes since when a webhook takes nothing, and forgets it when it takes something. A silence of two days begins the count anew: that nothing
    /// was sent in between says nothing of the receiver. The last failure is noted once a minute.
    /// </summary>
    private static NpgsqlBatchCommand HealthCommand(AttemptedDelivery[] called, TimeSpan disableAfter)
    {
        var webhooks = called.Where(a => a.Result!.WasMade).GroupBy(a => (a.Delivery.WebhookNo, a.Delivery.Url)).Select(g => (g.Key.WebhookNo, g.Key.Url, Took: g.Any(a => a.Result!.Succeeded))).ToArray();
        // webhooks' index on no. What came of an address that is not the webhook's any more says nothing of the one that is.
        return new NpgsqlBatchCommand("""
            WITH seen AS (
              SELECT e.no, s.took, clock_timestamp() AS now FROM unnest($1, $2, $4) AS s (no, took, url) JOIN webhooks e ON e.no = s.no AND e.url = s.url
              WHERE (s.took AND e.failing_since IS NOT NULL) OR (NOT s.took AND (e.failed_at IS NULL OR e.failed_at < clock_timestamp() - interval '1 minute')))
            UPDATE webhooks e SET
              failing_since = CASE WHEN seen.took THEN NULL WHEN e.failed_at > seen.now - interval '2 days' THEN coalesce(e.failing_since, seen.now) ELSE seen.now END,
              failed_at = CASE WHEN seen.took THEN NULL ELSE seen.now END
            FROM seen WHERE e.no = seen.no
            RETURNING e.no, e.url, e.enabled AND coalesce(e.failing_since < seen.now - $3, false)
            """)
        {
            Parameters =
            {
                new() { Value = webhooks.Select(w => w.WebhookNo).ToArray() }, new() { Value = webhooks.Select(w => w.Took).ToArray() }, new() { Value = disableAfter },
                new() { Value = webhooks.Select(w => w.Url).ToArray() },
            },
        };
    }

    private static void AddKeys(NpgsqlParameterCollection parameters, IReadOnlyCollection<DueDelivery> deliveries)
    {
        parameters.Add(new() { Value = deliveries.Select(d => d.WebhookNo).ToArray() });
        parameters.Add(new() { Value = deliveries.Select(d => d.Seq).ToArray() });
        parameters.Add(new() { Value = deliveries.Select(d => d.Token).ToArray() });
    }
}
