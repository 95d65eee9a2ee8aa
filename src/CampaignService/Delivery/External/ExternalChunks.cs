using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Delivery.External;

/// <summary>
/// The chunks whose messages go to providers, as this process takes them, notes what becomes of them, and puts them down. Nothing here is
/// open while a provider is called.
/// </summary>
internal sealed class ExternalChunks([FromKeyedServices(DeliveryPool.Key)] NpgsqlDataSource source, TimeProvider clock)
{
    /// <summary>How long a worker may be silent; it is heard every three seconds.</summary>
    private const string Lease = "interval '15 seconds'";

    /// <summary>For how long a provider's word counts that somebody is not to be reached any more.</summary>
    public const int DaysGone = 30;

    /// <summary>Until then a call that was under way when the channel's URL was changed has ended, and been noted: which server it was made to, nobody knows.</summary>
    private const string UntilMoved = "interval '2 minutes'";

    private const string Taken = $"""
        state = 2, lease_token = $1, lease_until = clock_timestamp() + {Lease}, starts = c.starts + 1, recalled = false
        FROM next WHERE (c.batch_id, c.no, c.channel_no) = (next.batch_id, next.no, next.channel_no)
        RETURNING c.batch_id, c.no, c.channel_no, c.app_no, c.lane, c.n, c.first_user, c.last_user, c.starts, greatest(c.failed_from, c.skipped_from, c.uncertain_from),
          c.base, c.rest, c.results, next.intent_pos, c.intent_pos, c.delivered, c.failed, c.skipped, c.uncertain
        """;

    private const string Noted = """
        ,
            said AS (SELECT u.* FROM held, unnest($16, $17, $18, $19, $20, $21) AS u (user_id, status, reason, detail, attempts, after)),
            noted AS ( -- recipient_exceptions' key
              INSERT INTO recipient_exceptions (batch_id, channel_no, user_id, status, reason, detail, attempts, run, next_attempt_at, at)
              SELECT $1, $3, user_id, status, reason, detail, attempts, $22, clock_timestamp() + after, clock_timestamp() FROM said
              ON CONFLICT (batch_id, channel_no, user_id) DO UPDATE SET status = excluded.status, reason = excluded.reason, detail = excluded.detail,
                attempts = excluded.attempts, run = excluded.run, next_attempt_at = excluded.next_attempt_at, at = excluded.at),
            gone AS ( -- gone_addresses' key
              INSERT INTO gone_addresses (app_no, channel_no, user_id, at) SELECT held.app_no, $3, said.user_id, clock_timestamp() FROM held, said WHERE said.status = 3 AND said.reason = 'address_gone'
              ON CONFLICT (channel_no, user_id) DO UPDATE SET at = excluded.at)
        """;

    private const string IsAlive = "(SELECT at FROM delivery_pulse) > clock_timestamp() - interval '30 seconds'"; // see DeliveryPulse

    /// <summary>The channels that have chunks ready, and in which lanes.</summary>
    public async Task<ILookup<int, short>> ReadyLanesAsync(CancellationToken ct)
    {
        // chunks_ready_external, hop by hop
        await using var command = source.CreateCommand("""
            WITH RECURSIVE ready AS (
              (SELECT channel_no, lane FROM chunks WHERE state = 1 AND lane > 1 ORDER BY channel_no, lane LIMIT 1)
              UNION ALL
              SELECT next.channel_no, next.lane FROM ready CROSS JOIN LATERAL (
                SELECT channel_no, lane FROM chunks WHERE state = 1 AND lane > 1 AND (channel_no, lane) > (ready.channel_no, ready.lane) ORDER BY channel_no, lane LIMIT 1) AS next)
            SELECT channel_no, lane FROM ready
            """);
        var lanes = new List<(int Channel, short Lane)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) lanes.Add((reader.GetInt32(0), reader.GetInt16(1)));
        return lanes.ToLookup(l => l.Channel, l => l.Lane);
    }

    /// <summary>The next chunk of a channel: of the first of these lanes that has one, that with the lowest turn.</summary>
    /// <param name="channelNo">The channel.</param>
    /// <param name="lanes">Where to look: one or two.</param>
    /// <param name="not">Batches of which this process has enough in hand.</param>
    /// <param name="window">So many calls may begin at once, where nobody has begun before and the batch has no limit: a commit less.</param>
    /// <param name="ct">Gives up.</param>
    public Task<ExternalClaim?> ClaimAsync(int channelNo, short[] lanes, long[] not, int window, CancellationToken ct) =>
        // chunks_ready_external; channel_circuits' key. Two parameters and no array: of how many lanes there are depends what it seems to cost, and so whether it is planned each time.
        ClaimAsync($"""
            WITH next AS (
              SELECT c.* FROM (VALUES ($2), ($5)) AS probe (lane)
              CROSS JOIN LATERAL (
                SELECT batch_id, no, channel_no, intent_pos FROM chunks WHERE state = 1 AND lane > 1 AND channel_no = $3 AND lane = probe.lane AND batch_id <> ALL ($4)
                ORDER BY turn LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
              WHERE {IsAlive} AND NOT EXISTS (SELECT 1 FROM channel_circuits WHERE channel_no = $3)
              LIMIT 1)
            UPDATE chunks c SET intent_pos = CASE
                WHEN c.starts = 0 AND c.results IS NULL AND c.base IS NULL AND c.rest IS NULL AND (SELECT rate_per_second IS NULL FROM batches WHERE id = c.batch_id) THEN least(c.n, $6)
                ELSE c.intent_pos END, {Taken}
            """, ct, lanes[0], channelNo, not, lanes[^1], window);

    /// <summary>A chunk whose worker died: its lease ran out, and so did the time that a call may take.</summary>
    /// <param name="not">Channels that this process cannot send by.</param>
    /// <param name="ct">Gives up.</param>
    public Task<ExternalClaim?> ClaimDeadAsync(int[] not, CancellationToken ct) => ClaimAsync($"""
        WITH next AS ( -- chunks_lease
          SELECT d.batch_id, d.no, d.channel_no, d.intent_pos FROM chunks d JOIN channels ch ON ch.no = d.channel_no
          WHERE d.state = 2 AND d.lane > 1 AND d.channel_no <> ALL ($2) AND {IsAlive}
            AND d.lease_until < clock_timestamp() - least(interval '10 seconds', make_interval(secs => coalesce((ch.settings ->> 'timeoutSeconds')::int, 10)))
          LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
        UPDATE chunks c SET {Taken}
        """, ct, not);

    /// <summary>Any chunk of those that wait for this channel's provider, to try one message of it: not always the same one, which may be at fault itself.</summary>
    public Task<ExternalClaim?> ClaimProbeAsync(int channelNo, CancellationToken ct) => ClaimAsync($"""
        WITH next AS ( -- chunks_open
          SELECT d.batch_id, d.no, d.channel_no, d.intent_pos FROM chunks d
          WHERE d.channel_no = $2 AND d.state IN (1, 3, 5) AND d.batch_id IN ({Circuits.Concerned}) ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)
        UPDATE chunks c SET {Taken}
        """, ct, channelNo);

    /// <summary>The people in a chunk with what is noted of them, by place.</summary>
    public async Task<List<ChunkPerson>> LoadAsync(ExternalClaim claim, CancellationToken ct)
    {
        // One after the other over one connection, and put together here: a join of them is planned anew for each chunk, for as long as sending to some of it.
        await using var load = source.CreateBatch();
        void Add(string sql) => load.BatchCommands.Add(new(sql)
        {
            Parameters = { new() { Value = claim.BatchId }, new() { Value = claim.FirstUser }, new() { Value = claim.LastUser }, new() { Value = claim.ChannelNo }, new() { Value = claim.No } },
        });
        // recipient_exceptions' key; chunks' key
        Add($"""
            SELECT e.user_id, e.status, e.attempts, {ChunkControl.Reopened}, extract(epoch FROM e.next_attempt_at - clock_timestamp())::float8
            FROM recipient_exceptions e JOIN chunks c ON c.batch_id = $1 AND c.no = $5 AND c.channel_no = $4
            WHERE e.batch_id = $1 AND e.channel_no = $4 AND e.user_id >= $2 AND e.user_id <= $3
            """);
        // gone_addresses' key; users' key; index on channels (no). Who changed their profile since is somebody new, and so is a server at another URL.
        Add($"""
            SELECT g.user_id FROM gone_addresses g JOIN chunks c ON c.batch_id = $1 AND c.no = $5 AND c.channel_no = $4
            WHERE g.channel_no = $4 AND g.user_id >= $2 AND g.user_id <= $3 AND g.at > clock_timestamp() - interval '{DaysGone} days'
              AND g.at > (SELECT coalesce(server_since + {UntilMoved}, '-infinity') FROM channels WHERE no = $4)
              AND NOT EXISTS (SELECT 1 FROM users u WHERE u.app_no = c.app_no AND u.id = g.user_id AND u.updated_at > g.at)
            """);
        // recipients' key
        load.BatchCommands.Add(new("SELECT user_id, array_send(vars) FROM recipients WHERE batch_id = $1 AND user_id >= $2 AND user_id <= $3 ORDER BY user_id")
        {
            Parameters = { new() { Value = claim.BatchId }, new() { Value = claim.FirstUser }, new() { Value = claim.LastUser } },
        });
        await using var reader = await load.ExecuteReaderAsync(ct);
        var noted = new Dictionary<string, PersonException>();
        while (await reader.ReadAsync(ct))
        {
            noted.Add(reader.GetString(0), new PersonException(reader.GetInt16(1), reader.GetInt16(2), reader.GetBoolean(3), reader.IsDBNull(4) ? null : TimeSpan.FromSeconds(reader.GetDouble(4))));
        }
        await reader.NextResultAsync(ct);
        var gone = new HashSet<string>();
        while (await reader.ReadAsync(ct)) gone.Add(reader.GetString(0));
        await reader.NextResultAsync(ct);
        var people = new List<ChunkPerson>(claim.N);
        while (await reader.ReadAsync(ct))
        {
            var user = reader.GetString(0);
            people.Add(new ChunkPerson(user, reader.GetFieldValue<byte[]>(1), noted.GetValueOrDefault(user, PersonException.None), gone.Contains(user)));
        }
        return people;
    }

    /// <summary>Writes how a pass stands, renews the lease or ends it, in one statement behind the fence.</summary>
    /// <param name="renews">Whether the lease is renewed: not with each, for it stands in an index, and all indexes are written then.</param>
    /// <returns>Null when the chunk was taken from us: nothing was written.</returns>
    public async Task<NoteAnswer?> NoteAsync(ExternalClaim claim, PassState pass, PassEnd? end, bool isTakeover, bool renews, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        return await NoteAsync(connection, claim, pass, end, isTakeover, renews, ct);
    }

    /// <summary>Gives up a chunk that cost too many workers: what may have been sent is uncertain, what was not is failed.</summary>
    public async Task SetAsideAsync(ExternalClaim claim, PassState pass, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (await NoteAsync(connection, claim, pass, new PassEnd(3), isTakeover: true, renews: false, ct) is null) return;
        await ChunkControl.CloseAsync(connection, claim.BatchId, claim.No, claim.ChannelNo, MessageStatus.Failed, ChunkPass.WorkerDied, ct);
        await transaction.CommitAsync(ct);
    }

    /// <summary>
    /// What becomes of a chunk that was put down although its batch is paused or stopping, or its channel disabled: held, or closed with the
    /// reason. Batch before chunk: a verb that comes at the same moment is waited for. Die before it, and whoever takes the chunk next
    /// does it.
    /// </summary>
    /// <returns>Whether the chunk was closed.</returns>
    public async Task<bool> SettleAsync(ExternalClaim claim, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        // batches' key, channels' key
        await using var look = new NpgsqlCommand("SELECT state, (SELECT enabled FROM channels WHERE no = $2) FROM batches WHERE id = $1 FOR NO KEY UPDATE", connection)
        {
            Parameters = { new() { Value = claim.BatchId }, new() { Value = claim.ChannelNo } },
        };
        BatchState state;
        bool enabled;
        await using (var reader = await look.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            (state, enabled) = ((BatchState)reader.GetInt16(0), reader.GetBoolean(1));
        }
        if (state == BatchState.Sending && enabled) return false;
        // chunks' key
        await using var hold = new NpgsqlCommand("UPDATE chunks SET state = 3 WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state IN (1, 5)", connection)
        {
            Parameters = { new() { Value = claim.BatchId }, new() { Value = claim.No }, new() { Value = claim.ChannelNo } },
        };
        var isOurs = await hold.ExecuteNonQueryAsync(ct) == 1;
        var closes = isOurs && state != BatchState.Paused;
        if (closes) await ChunkControl.CloseAsync(connection, claim.BatchId, claim.No, claim.ChannelNo, MessageStatus.Skipped, state == BatchState.Stopping ? "stopped" : "channel_disabled", ct);
        await transaction.CommitAsync(ct);
        return closes;
    }

    /// <summary>
    /// Of results that came after the chunk was taken from us, those that settle what was noted as uncertain meanwhile. Whoever has the chunk
    /// leased now has it in memory: then they are dropped.
    /// </summary>
    public async Task NoteLateAsync(ExternalClaim claim, IReadOnlyCollection<string> delivered, CancellationToken ct)
    {
        if (delivered.Count == 0) return;
        // chunks' key, recipient_exceptions' key
        await using var command = source.CreateCommand($"""
            WITH free AS (SELECT 1 FROM chunks WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state <> 2 FOR UPDATE),
            known AS (
              UPDATE recipient_exceptions SET status = 2, reason = NULL, detail = NULL, next_attempt_at = NULL, at = clock_timestamp()
              FROM free WHERE batch_id = $1 AND channel_no = $3 AND user_id = ANY ($4) AND status = 5 AND reason = '{ChunkPass.WorkerDied}' AND run = $5 RETURNING 1)
            UPDATE chunks SET delivered = delivered + (SELECT sum(1) FROM known), uncertain = uncertain - (SELECT sum(1) FROM known)
            WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND EXISTS (SELECT 1 FROM known)
            """);
        foreach (object value in new object[] { claim.BatchId, claim.No, claim.ChannelNo, delivered.ToArray(), claim.Run }) command.Parameters.Add(new() { Value = value });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>waiting -> ready, for those whose time has come.</summary>
    public async Task WakeDueAsync(CancellationToken ct)
    {
        // chunks_due, and no join, for which all chunks would be read while they are few
        await using var command = source.CreateCommand("""
            UPDATE chunks SET state = 1, retry_at = NULL
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM chunks WHERE state = 5 AND retry_at <= clock_timestamp() FOR UPDATE SKIP LOCKED))
            """);
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Batches with chunks that wait for their time, or for a limit or a provider of a channel that this process sends by: they do not stand still.</summary>
    public async Task<List<long>> WaitingBatchesAsync(int[] channels, CancellationToken ct)
    {
        // chunks_due; index on batches (state) where sending, chunks_open
        await using var command = source.CreateCommand("""
            SELECT batch_id FROM chunks WHERE state = 5 UNION
            SELECT id FROM batches b WHERE state = 2 AND EXISTS (SELECT 1 FROM chunks c WHERE c.batch_id = b.id AND c.state = 1 AND c.lane > 1 AND c.channel_no = ANY ($1))
            """);
        command.Parameters.Add(new() { Value = channels });
        var batches = new List<long>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) batches.Add(reader.GetInt64(0));
        return batches;
    }

    private async Task<ExternalClaim?> ClaimAsync(string sql, CancellationToken ct, params object[] parameters)
    {
        var (token, at) = (Guid.NewGuid(), clock.GetTimestamp());
        await using var command = source.CreateCommand(sql);
        command.Parameters.Add(new() { Value = token });
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        ct.ThrowIfCancellationRequested();
        // Not to be cancelled from here on: a claim whose answer nobody reads would wait for the end of its lease.
        await using var reader = await command.ExecuteReaderAsync(CancellationToken.None);
        if (!await reader.ReadAsync(CancellationToken.None)) return null;
        // A mark that was there before is what a dead worker left, and nothing may begin by it: the takeover takes it back first.
        var (intent, mayBegin) = reader.GetInt32(13) is > 0 and var left ? (left, 0) : (0, reader.GetInt32(14));
        return new ExternalClaim(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetInt16(4), reader.GetInt32(5),
            reader.GetString(6), reader.GetString(7), reader.GetInt16(8), reader.GetInt16(9), reader.IsDBNull(10) ? null : reader.GetInt16(10),
            reader.IsDBNull(11) ? null : reader.GetInt16(11), reader.IsDBNull(12) ? null : reader.GetFieldValue<byte[]>(12), intent, mayBegin,
            reader.GetInt32(15), reader.GetInt32(16), reader.GetInt32(17), reader.GetInt32(18), token, at);
    }

    private static async Task<NoteAnswer?> NoteAsync(NpgsqlConnection connection, ExternalClaim claim, PassState pass, PassEnd? end, bool isTakeover, bool renews, CancellationToken ct)
    {
        // chunks' key, batches' key. Where all were simply served, as most often, it is a fraction of the work.
        await using var command = new NpgsqlCommand($"""
            WITH held AS (
              UPDATE chunks SET results = $5, intent_pos = $6, delivered = $7, failed = $8, skipped = $9, uncertain = $10, base = $11,
                done_at = CASE WHEN base IS NULL AND delivered <> $7 OR base IS NULL AND $11 IS NOT NULL THEN clock_timestamp() WHEN $12 = 4 THEN coalesce(done_at, clock_timestamp()) ELSE done_at END,
                state = CASE WHEN $12 = 1 AND recalled THEN 5 ELSE $12 END,
                retry_at = CASE WHEN $12 = 1 AND recalled THEN clock_timestamp() + interval '2 seconds' ELSE clock_timestamp() + $13 END,
                starts = CASE WHEN $14 THEN 0 ELSE starts END, recalled = recalled AND $12 = 2,
                lease_token = CASE WHEN $12 = 2 THEN lease_token END,
                lease_until = CASE WHEN $12 = 2 THEN CASE WHEN $15 THEN clock_timestamp() + {Lease} ELSE lease_until END END
              WHERE batch_id = $1 AND no = $2 AND channel_no = $3 AND state = 2 AND lease_token = $4
              RETURNING app_no, recalled){(pass.Notes.Count > 0 ? Noted : "")}
            SELECT held.recalled, b.state, b.rate_per_second FROM held JOIN batches b ON b.id = $1
            """, connection);
        void Add(object? value, NpgsqlDbType type) => command.Parameters.Add(new() { Value = value ?? DBNull.Value, NpgsqlDbType = type });
        foreach (object value in new object[] { claim.BatchId, claim.No, claim.ChannelNo, claim.Token }) command.Parameters.Add(new() { Value = value });
        Add(pass.Results, NpgsqlDbType.Bytea);
        foreach (var number in new[] { pass.Intent, pass.Delivered, pass.Failed, pass.Skipped, pass.Uncertain }) command.Parameters.Add(new() { Value = number });
        Add(pass.Base, NpgsqlDbType.Smallint);
        Add(end?.State ?? 2, NpgsqlDbType.Smallint);
        Add(end?.RetryIn, NpgsqlDbType.Interval);
        // Given back without a death, or with something to show for it: this start was no death.
        Add(!isTakeover && (pass.Fresh > 0 || end is not null), NpgsqlDbType.Boolean);
        Add(renews, NpgsqlDbType.Boolean);
        if (pass.Notes.Count > 0)
        {
            Add(pass.Notes.Select(n => n.UserId).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Text);
            Add(pass.Notes.Select(n => n.Status).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Smallint);
            Add(pass.Notes.Select(n => n.Reason).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Text);
            Add(pass.Notes.Select(n => n.Detail).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Text);
            Add(pass.Notes.Select(n => n.Attempts).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Smallint);
            Add(pass.Notes.Select(n => n.After).ToArray(), NpgsqlDbType.Array | NpgsqlDbType.Interval);
            command.Parameters.Add(new() { Value = claim.Run });
        }
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return new NoteAnswer((BatchState)reader.GetInt16(1), reader.IsDBNull(2) ? null : reader.GetDouble(2), reader.GetBoolean(0));
    }
}
