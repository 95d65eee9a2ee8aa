using CampaignService.Data;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>
/// Gives events their place in the log. Those who write them commit in any order, so a number taken while writing would become visible behind a
/// larger one, and a reader who had passed that would never see it. Here one transaction at a time, of whichever process, takes what is committed
/// and numbers it: what is visible never gets anything in front of it. In the same transaction each webhook that wants an event gets a delivery
/// of it. Die before the commit: everything is in the outbox as it was.
/// </summary>
public sealed class EventSequencer(NpgsqlDataSource source, WebhookSignal deliveries, TimeProvider clock, ILogger<EventSequencer> log) : BackgroundService
{
    /// <summary>Between two turns, and what that grows to while nothing happens.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50), IdleTick = TimeSpan.FromMilliseconds(250), BeforeNextTry = TimeSpan.FromSeconds(1);

    /// <summary>So many events are enough for one transaction; a run, which is not divided, may add some hundred.</summary>
    private const int AtOnce = 1_000;

    /// <summary>Every so many turns it looks at the whole outbox, for those whose writer took long to commit.</summary>
    private const int TurnsFromHere = 20;

    private long _from;
    private int _turn;
    private volatile bool _lost;

    /// <summary>Numbers everything that is committed by now, unless another process is at it.</summary>
    /// <returns>How many there were.</returns>
    public async Task<int> SequenceAsync(CancellationToken ct)
    {
        var all = 0;
        for (var moved = AtOnce; moved >= AtOnce; all += moved) moved = await SequenceSomeAsync(ct);
        if (all > 0) deliveries.WakeHere();
        return all;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (var wait = Tick; !stoppingToken.IsCancellationRequested;)
        {
            try
            {
                wait = await SequenceAsync(stoppingToken) > 0 ? Tick : wait * 1.5 < IdleTick ? wait * 1.5 : IdleTick;
                _lost = false;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Events could not be numbered; trying again in {Seconds} s", BeforeNextTry.TotalSeconds);
                else if (!_lost) log.LogWarning("The database cannot be reached; events come into the log when it is back: {Message}", e.Message);
                _lost = DatabaseHealth.IsConnectionLoss(e);
                wait = BeforeNextTry;
            }
            await Task.Delay(wait, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<int> SequenceSomeAsync(CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        // In a restored copy nothing is numbered before its places have been moved ahead. The lock is let go of when the commit is visible, so whoever has it next sees what was numbered.
        await using (var alone = new NpgsqlCommand($"SELECT {DatabaseCopy.IsSame} AND pg_try_advisory_xact_lock(hashtext('number_events')) FROM delivery_pulse", connection))
        {
            if (!(bool)(await alone.ExecuteScalarAsync(ct))!) return 0;
        }
        if (++_turn % TurnsFromHere == 0) _from = 0;
        // outbox_events' and outbox_runs' keys, from where the last turn began: in front of that stand entries of rows long gone. What an erasure works on comes later. index on webhooks (app_no, id)
        await using var command = new NpgsqlCommand($"""
            WITH first AS MATERIALIZED (SELECT id FROM outbox_events WHERE id >= $1 ORDER BY id LIMIT {AtOnce} FOR UPDATE SKIP LOCKED),
            runs AS MATERIALIZED (SELECT id, 2 * cardinality(subjects) AS n FROM outbox_runs WHERE id >= $1 ORDER BY id LIMIT {AtOnce} FOR UPDATE SKIP LOCKED),
            first_runs AS (SELECT id FROM (SELECT id, sum(n) OVER (ORDER BY id) - n AS before FROM runs) AS r WHERE before < {AtOnce}),
            -- One of them is a run of one, when a process of the version before has sent it.
            gone AS (
              DELETE FROM outbox_events WHERE id IN (SELECT id FROM first)
              RETURNING id, app_no, type, subject, CASE WHEN type = {(short)EventType.NotificationSent} THEN ARRAY[subject] END AS subjects, person, detail, data, at),
            gone_runs (id, app_no, type, subject, subjects, person, detail, data, at) AS (
              DELETE FROM outbox_runs WHERE id IN (SELECT id FROM first_runs)
              RETURNING id, app_no, {(short)EventType.NotificationSent}::smallint, NULL::bigint, subjects, NULL::text, NULL::text, NULL::text, at),
            taken AS (SELECT * FROM gone UNION ALL SELECT * FROM gone_runs),
            numbered AS (
              INSERT INTO events (app_no, seq, id, type, subject, subjects, person, detail, data, at)
              SELECT app_no, CASE WHEN subjects IS NULL THEN nextval('event_seq') ELSE (SELECT max(nextval('event_seq')) FROM generate_series(1, 2 * cardinality(subjects))) END,
                id, type, subject, subjects, person, detail, data, at FROM (SELECT * FROM taken ORDER BY id) AS in_order
              RETURNING app_no, seq, type, subjects),
            wanted AS (
              INSERT INTO webhook_deliveries (webhook_no, seq, row_seq, app_no, due_at)
              SELECT w.no, e.seq, n.seq, n.app_no, clock_timestamp() FROM numbered n JOIN webhooks w ON w.app_no = n.app_no AND w.enabled CROSS JOIN LATERAL {EventRow.EachOf("n")} AS e (seq, type)
              WHERE EXISTS (SELECT 1 FROM unnest($2, $3) AS m (type, pattern) WHERE m.type = e.type AND m.pattern = ANY(w.events)))
            SELECT coalesce(sum(coalesce(2 * cardinality(subjects), 1)), 0)::integer, min(id), id_at(clock_timestamp() - interval '1 minute') FROM taken
            """, connection)
        {
            Parameters = { new() { Value = _from }, new() { Value = EventTypes.Matches.Types }, new() { Value = EventTypes.Matches.Patterns } },
        };
        int moved;
        long from;
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            moved = reader.GetInt32(0);
            from = moved >= AtOnce ? reader.GetInt64(1) : reader.GetInt64(2);
        }
        await transaction.CommitAsync(ct);
        _from = from;
        return moved;
    }
}
