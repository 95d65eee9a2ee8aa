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

    /// <summary>Every so many turns it looks at the whole outbox, for those whose writer took longer than <see cref="LongCommit"/>.</summary>
    private const int TurnsFromHere = 20;

    /// <summary>From writing an event to its commit. So far back a turn looks behind the one before.</summary>
    private const string LongCommit = "5 seconds";

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
        // Both plans are off because what is taken leaves entries behind until it is vacuumed: only a walk along the index marks those, and passes over them the next time.
        await using (var alone = new NpgsqlCommand($"""
            SELECT {DatabaseCopy.IsSame} AND pg_try_advisory_xact_lock(hashtext('number_events')), set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)
            FROM delivery_pulse
            """, connection))
        {
            if (!(bool)(await alone.ExecuteScalarAsync(ct))!) return 0;
        }
        if (++_turn % TurnsFromHere == 0) _from = 0;
        // outbox_events' and outbox_runs' keys, from a little before the last turn: in front of that stand entries of rows long gone. What an erasure works on comes later. index on webhooks (app_no, id)
        await using var command = new NpgsqlCommand($"""
            WITH first AS MATERIALIZED (SELECT ctid FROM outbox_events WHERE id >= $1 ORDER BY id LIMIT {AtOnce} FOR UPDATE SKIP LOCKED),
            runs AS MATERIALIZED (SELECT ctid, id, 2 * cardinality(subjects) AS n FROM outbox_runs WHERE id >= $1 ORDER BY id LIMIT {AtOnce} FOR UPDATE SKIP LOCKED),
            first_runs AS (SELECT ctid FROM (SELECT ctid, sum(n) OVER (ORDER BY id) - n AS before FROM runs) AS r WHERE before < {AtOnce}),
            -- One of them is a run of one, when a process of the version before has sent it.
            gone AS (
              DELETE FROM outbox_events WHERE ctid = ANY (ARRAY(SELECT ctid FROM first))
              RETURNING id, app_no, type, subject, CASE WHEN type = {(short)EventType.NotificationSent} THEN ARRAY[subject] END AS subjects, person, detail, data, at),
            gone_runs (id, app_no, type, subject, subjects, person, detail, data, at) AS (
              DELETE FROM outbox_runs WHERE ctid = ANY (ARRAY(SELECT ctid FROM first_runs))
              RETURNING id, app_no, {(short)EventType.NotificationSent}::smallint, NULL::bigint, subjects, NULL::text, NULL::text, NULL::text, at),
            taken AS MATERIALIZED (
              SELECT *, sum(coalesce(2 * cardinality(subjects), 1)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS place FROM (SELECT * FROM gone UNION ALL SELECT * FROM gone_runs) AS both_kinds),
            -- Places for all of them at once: nobody else takes any meanwhile.
            places AS MATERIALIZED (SELECT setval('event_seq', nextval('event_seq') + n - 1) - n AS before FROM (SELECT max(place) AS n FROM taken) AS all_taken WHERE n > 0),
            numbered AS (
              INSERT INTO events (app_no, seq, id, type, subject, subjects, person, detail, data, at)
              SELECT app_no, before + place, id, type, subject, subjects, person, detail, data, at FROM taken, places
              RETURNING app_no, seq, type, subjects),
            wanted AS (
              INSERT INTO webhook_deliveries (webhook_no, seq, row_seq, app_no, due_at)
              SELECT w.no, e.seq, n.seq, n.app_no, clock_timestamp() FROM numbered n JOIN webhooks w ON w.app_no = n.app_no AND w.enabled CROSS JOIN LATERAL {EventRow.EachOf("n")} AS e (seq, type)
              WHERE EXISTS (SELECT 1 FROM unnest($2, $3) AS m (type, pattern) WHERE m.type = e.type AND m.pattern = ANY(w.events)))
            SELECT coalesce(max(place), 0)::integer, min(id), id_at(clock_timestamp() - interval '{LongCommit}') FROM taken
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
