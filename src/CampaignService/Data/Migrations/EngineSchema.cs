namespace CampaignService.Data.Migrations;

/// <summary>
/// The tables of the delivery engine and the feed. They are SQL and not EF entities because what matters about them EF cannot say:
/// collation, fill factor, partitions, partial indexes, and which indexes are absent.
/// </summary>
internal static class EngineSchema
{
    /// <summary>
    /// One space of ids for batches, notifications and feed items: 41 bits of database time in milliseconds since 2024, 11 bits of a
    /// sequence, and 11 bits left at zero, so that whoever takes one id may count on from it to 2,048. Rows made later have larger ids,
    /// whichever process makes them, so feeds are read and partitioned by id.
    /// </summary>
    public const string Ids = """
        CREATE SEQUENCE id_sequence;
        CREATE FUNCTION next_id() RETURNS bigint LANGUAGE sql VOLATILE AS
          $$ SELECT (((date_part('epoch', clock_timestamp()) * 1000)::bigint - 1704067200000) << 22) | ((nextval('id_sequence') & 2047) << 11) $$;
        CREATE FUNCTION id_at(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
          $$ SELECT ((date_part('epoch', at) * 1000)::bigint - 1704067200000) << 22 $$;
        CREATE TABLE secrets (name text PRIMARY KEY, value bytea NOT NULL);
        """;

    public const string Tables = """
        -- Written once, at import, in the order of the key; never updated by sending. No other index: each would cost more than the row.
        CREATE TABLE recipients (
          batch_id bigint NOT NULL,
          user_id text COLLATE "C" NOT NULL,
          vars text[] NOT NULL,                      -- by position in batches.var_names; null or missing = not given
          PRIMARY KEY (batch_id, user_id));

        -- People who never became recipients, by reason.
        CREATE TABLE batch_exclusions (
          batch_id bigint NOT NULL,
          reason text NOT NULL,
          n integer NOT NULL,
          PRIMARY KEY (batch_id, reason));

        -- A range of recipients on one channel. pending is n less the four counters and is never stored, so the ledger cannot but balance.
        CREATE TABLE chunks (
          batch_id bigint NOT NULL,
          no integer NOT NULL,
          channel_no integer NOT NULL,
          app_no integer NOT NULL,
          lane smallint NOT NULL,
          turn bigint NOT NULL,
          n integer NOT NULL,
          first_user text COLLATE "C" NOT NULL,
          last_user text COLLATE "C" NOT NULL,
          state smallint NOT NULL,                   -- 1 ready, 2 leased, 3 held, 4 closed, 5 waiting
          base smallint,                             -- status of those without an exception, once the first pass is through
          rest smallint,                             -- status of what was left when the chunk was closed early
          rest_reason text,
          rest_n integer NOT NULL DEFAULT 0,
          delivered integer NOT NULL DEFAULT 0,
          failed integer NOT NULL DEFAULT 0,
          skipped integer NOT NULL DEFAULT 0,
          uncertain integer NOT NULL DEFAULT 0,
          failed_from smallint NOT NULL DEFAULT 0,   -- exceptions of an earlier run with that status are pending again
          skipped_from smallint NOT NULL DEFAULT 0,
          uncertain_from smallint NOT NULL DEFAULT 0,
          lease_token uuid,
          lease_until timestamptz,
          starts smallint NOT NULL DEFAULT 0,
          intent_pos integer NOT NULL DEFAULT 0,
          results bytea,
          retry_at timestamptz,
          done_at timestamptz,
          PRIMARY KEY (batch_id, no, channel_no),
          CHECK (delivered >= 0 AND failed >= 0 AND skipped >= 0 AND uncertain >= 0),
          CHECK (delivered + failed + skipped + uncertain <= n),
          CHECK (state <> 4 OR delivered + failed + skipped + uncertain = n))
          WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
        CREATE INDEX chunks_ready ON chunks (lane, app_no, turn) WHERE state = 1;
        CREATE INDEX chunks_due ON chunks (retry_at) WHERE state = 5;
        CREATE INDEX chunks_lease ON chunks (lease_until) WHERE state = 2;
        CREATE INDEX chunks_open ON chunks (batch_id) WHERE state <> 4;

        -- Only for those whom sending did not simply serve.
        CREATE TABLE recipient_exceptions (
          batch_id bigint NOT NULL,
          channel_no integer NOT NULL,
          user_id text COLLATE "C" NOT NULL,
          status smallint NOT NULL,                  -- 2 delivered, 3 failed, 4 skipped, 5 uncertain, 6 retry
          reason text,
          detail text,
          attempts smallint NOT NULL DEFAULT 0,
          run smallint NOT NULL,
          intent boolean NOT NULL DEFAULT false,
          next_attempt_at timestamptz,
          at timestamptz NOT NULL,
          PRIMARY KEY (batch_id, channel_no, user_id)) WITH (fillfactor = 80);

        -- Values, not rendered text: an item is rendered from its pinned template version when it is read.
        CREATE TABLE feed_items (
          app_no integer NOT NULL,
          channel_no integer NOT NULL,
          id bigint NOT NULL,
          source_id bigint NOT NULL,                 -- batch
          expires_at timestamptz,
          delivered_at timestamptz,
          read_at timestamptz,
          user_id text COLLATE "C" NOT NULL,
          vars text[] NOT NULL,
          PRIMARY KEY (app_no, user_id, id)) PARTITION BY RANGE (id);

        -- What the receiving side reported, by source; several slots so that readers of one campaign do not queue for one row.
        CREATE TABLE feed_receipts (
          source_id bigint NOT NULL,
          slot smallint NOT NULL,
          delivered integer NOT NULL DEFAULT 0,
          read integer NOT NULL DEFAULT 0,
          engaged integer NOT NULL DEFAULT 0,
          PRIMARY KEY (source_id, slot)) WITH (fillfactor = 50);

        -- A feed row of a month without a partition could not be written: this is called at start and every hour, months ahead.
        CREATE FUNCTION create_feed_partitions(months_ahead integer) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
          first timestamptz;
          name text;
        BEGIN
          PERFORM pg_advisory_xact_lock(hashtext('create_feed_partitions'));
          FOR i IN 0 .. months_ahead LOOP
            -- In UTC throughout, whatever the zone of the session: months must meet without a gap.
            first := (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
            name := 'feed_items_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
            IF to_regclass(name) IS NULL THEN
              EXECUTE format('CREATE TABLE %I PARTITION OF feed_items FOR VALUES FROM (%s) TO (%s) WITH (fillfactor = 90)',
                name, id_at(first), id_at(((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'));
            END IF;
          END LOOP;
        END $$;
        """;

    public const string Pulse = """
        -- One row: when a worker last beat, and which database this is. A copy that was restored elsewhere differs in one of the three.
        CREATE TABLE delivery_pulse (
          is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
          at timestamptz NOT NULL,
          system_identifier bigint NOT NULL,
          database_oid bigint NOT NULL,
          timeline text NOT NULL) WITH (fillfactor = 50);
        INSERT INTO delivery_pulse (at, system_identifier, database_oid, timeline)
          SELECT clock_timestamp(), (SELECT system_identifier FROM pg_control_system()), oid::bigint, left(pg_walfile_name(pg_current_wal_lsn()), 8)
          FROM pg_database WHERE datname = current_database();
        UPDATE batches SET progress_at = clock_timestamp() WHERE state = 2;
        """;

    public const string IdempotencyKeys = """
        -- Requests by the key that they came with, and their answers. Removed by their time, in whose order they lie.
        CREATE TABLE idempotency_keys (
          app_no integer NOT NULL,
          key text COLLATE "C" NOT NULL,
          digest bytea NOT NULL,                     -- of method, path and body
          state smallint NOT NULL,                   -- 1 running, 2 done, 3 answered
          token uuid,                                -- the fence of whoever works on it
          status smallint,
          answer bytea,
          location text,
          person text COLLATE "C",                   -- whom it is about; the row goes with them
          at timestamptz NOT NULL,
          PRIMARY KEY (app_no, key)) WITH (fillfactor = 70);
        CREATE INDEX idempotency_keys_at ON idempotency_keys USING brin (at);
        """;

    public const string Events = """
        -- Ids of events and of attempts: the database's time in milliseconds since 2024, above 22 bits of a sequence. Each second one is left out: what stands for two takes it, too.
        CREATE SEQUENCE event_id_sequence INCREMENT BY 2;
        CREATE FUNCTION next_event_id() RETURNS bigint LANGUAGE sql VOLATILE AS
          $$ SELECT (((date_part('epoch', clock_timestamp()) * 1000)::bigint - 1704067200000) << 22) | (nextval('event_id_sequence') & 4194303) $$;

        -- Written in the transaction of the change, in any order; emptied by one transaction at a time.
        CREATE TABLE outbox_events (
          id bigint PRIMARY KEY DEFAULT next_event_id(),
          app_no integer NOT NULL,
          type smallint NOT NULL,
          subject bigint,                            -- what it happened to, where that is described on reading
          person text COLLATE "C",                   -- whose it is, or whose id stands in data as senderId
          detail text,
          data text,                                 -- the object as JSON, as it goes out
          at timestamptz NOT NULL DEFAULT clock_timestamp())
          WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

        -- The log. Whoever reads a row has seen all rows of the app with a smaller seq, or they will never be there.
        CREATE SEQUENCE event_seq;
        CREATE TABLE events (
          app_no integer NOT NULL,
          seq bigint NOT NULL,
          id bigint NOT NULL,
          type smallint NOT NULL,
          subject bigint,
          person text COLLATE "C",
          detail text,
          data text,
          at timestamptz NOT NULL,
          PRIMARY KEY (app_no, seq));
        CREATE INDEX events_person ON events (app_no, person) WHERE person IS NOT NULL;
        CREATE INDEX events_at ON events USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

        -- Up to where the log of an app was removed for its age: whoever stopped before that has missed something.
        CREATE TABLE pruned_events (
          app_no integer PRIMARY KEY,
          seq bigint NOT NULL) WITH (fillfactor = 50);

        -- Events on their way: a row goes when the webhook has taken it or it was tried for the last time.
        CREATE TABLE webhook_deliveries (
          webhook_no integer NOT NULL,
          seq bigint NOT NULL,
          app_no integer NOT NULL,
          attempts smallint NOT NULL DEFAULT 0,      -- that failed
          due_at timestamptz NOT NULL,
          lease_token uuid,
          lease_until timestamptz,
          PRIMARY KEY (webhook_no, seq))
          WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_no, due_at);

        CREATE TABLE webhook_attempts (
          webhook_no integer NOT NULL,
          id bigint NOT NULL,
          event_id bigint NOT NULL,
          type smallint NOT NULL,
          person text COLLATE "C",
          attempt smallint NOT NULL,
          status integer,
          error text,                                -- null: it was taken
          answer text,
          at timestamptz NOT NULL,
          took_ms integer NOT NULL,
          next_at timestamptz,
          PRIMARY KEY (webhook_no, id));
        """;

    public const string DropEvents = """
        DROP TABLE webhook_attempts, webhook_deliveries, pruned_events, events, outbox_events;
        DROP SEQUENCE event_seq;
        DROP FUNCTION next_event_id;
        DROP SEQUENCE event_id_sequence;
        """;

    public const string EventRuns = """
        -- Direct sends that were committed together, in front of the log. A table of its own: a process of the version before, which knows no runs, leaves them to one that does.
        CREATE TABLE outbox_runs (
          id bigint PRIMARY KEY DEFAULT next_event_id(),
          app_no integer NOT NULL,
          subjects bigint[] NOT NULL,
          at timestamptz NOT NULL DEFAULT clock_timestamp())
          WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
        -- Of a run; its seq is that of the last of its events.
        ALTER TABLE events ADD COLUMN subjects bigint[];
        ALTER TABLE webhook_deliveries ADD COLUMN row_seq bigint; -- of the row of the log that holds the event, where that is another than its own
        """;

    public const string DropEventRuns = """
        INSERT INTO outbox_events (app_no, type, subject, at) SELECT app_no, 20, unnest(subjects), at FROM outbox_runs;
        DROP TABLE outbox_runs;
        WITH runs AS (DELETE FROM events WHERE subjects IS NOT NULL RETURNING app_no, seq - 2 * cardinality(subjects) AS before, subjects, at)
          INSERT INTO events (app_no, seq, id, type, subject, at)
          SELECT r.app_no, r.before + k, (1::bigint << 62) | (r.before + k), CASE WHEN k % 2 = 1 THEN 21 ELSE 22 END, r.subjects[(k + 1) / 2], r.at
          FROM runs r CROSS JOIN LATERAL generate_series(1, 2 * cardinality(r.subjects)) AS k;
        ALTER TABLE events DROP COLUMN subjects;
        ALTER TABLE webhook_deliveries DROP COLUMN row_seq;
        """;

    public const string External = """
        ALTER TABLE chunks ADD COLUMN recalled boolean NOT NULL DEFAULT false; -- somebody needs it: its worker is to give it back
        CREATE INDEX chunks_ready_external ON chunks (channel_no, lane, turn) WHERE state = 1 AND lane > 1;
        CREATE INDEX batches_held ON batches (held_for) WHERE state = 3 AND held_for IS NOT NULL;

        -- When the next message under a limit may start; spacing is the limit as it was last used.
        CREATE TABLE rate_slots (
          scope text COLLATE "C" PRIMARY KEY,        -- 'channel:' or 'batch:' and a number
          next_at timestamptz NOT NULL,
          spacing interval NOT NULL) WITH (fillfactor = 50);

        -- Providers that take nothing at the moment.
        CREATE TABLE channel_circuits (
          channel_no integer PRIMARY KEY,
          opened_at timestamptz NOT NULL,
          next_probe_at timestamptz NOT NULL,
          probes integer NOT NULL DEFAULT 0,
          category text NOT NULL,
          detail text NOT NULL) WITH (fillfactor = 50);

        -- People who are not to be reached by a channel any more, as its provider said; it counts until their profile is changed.
        CREATE TABLE gone_addresses (
          app_no integer NOT NULL,
          channel_no integer NOT NULL,
          user_id text COLLATE "C" NOT NULL,
          at timestamptz NOT NULL,
          PRIMARY KEY (channel_no, user_id));
        """;

    public const string GoneSince = """
        ALTER TABLE channel_circuits ADD COLUMN gone_since timestamptz; -- everybody was called gone from then on: nobody is, when it takes messages again
        """;

    public const string DropExternal = """
        DROP TABLE rate_slots, channel_circuits, gone_addresses;
        DROP INDEX batches_held, chunks_ready_external;
        ALTER TABLE chunks DROP COLUMN recalled;
        """;

    public const string DropPulse = "DROP TABLE delivery_pulse;";

    public const string WholeFeed = """
        ALTER TABLE feed_items
          ADD COLUMN engaged_at timestamptz,
          ADD COLUMN deleted_at timestamptz,         -- its user took it out of the feed; nobody sees the row any more
          ADD COLUMN topics text[];                  -- what the user did with it, each once

        -- What users did with the items of a source, by topic; in slots, as receipts are.
        CREATE TABLE feed_topics (
          source_id bigint NOT NULL,
          topic text COLLATE "C" NOT NULL,
          slot smallint NOT NULL,
          n integer NOT NULL,
          PRIMARY KEY (source_id, topic, slot)) WITH (fillfactor = 50);

        -- Categories that templates name already get a row each. Their ids are made as those of the service are: a prefix and a time-ordered number.
        INSERT INTO categories (id, app_no, category_id, name, created_at, updated_at)
          SELECT 'cat_' || lpad(to_hex(next_id()), 32, '0'), app_no, 'cc-category-' || md5(category), category, clock_timestamp(), clock_timestamp()
          FROM (SELECT DISTINCT app_no, category FROM templates WHERE category IS NOT NULL) AS named;
        """;

    public const string DropWholeFeed = """
        DROP TABLE feed_topics;
        ALTER TABLE feed_items DROP COLUMN engaged_at, DROP COLUMN deleted_at, DROP COLUMN topics;
        """;

    public const string Drop = """
        DROP FUNCTION create_feed_partitions(integer);
        DROP TABLE feed_receipts, feed_items, recipient_exceptions, chunks, batch_exclusions, recipients;
        """;

    public const string DropIds = """
        DROP TABLE secrets;
        DROP FUNCTION next_id(), id_at(timestamptz);
        DROP SEQUENCE id_sequence;
        """;
}
