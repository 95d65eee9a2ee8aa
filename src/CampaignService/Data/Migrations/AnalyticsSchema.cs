namespace CampaignService.Data.Migrations;

/// <summary>
/// Numbers over time. They are kept by triggers on the rows that they count: whoever writes those rows, in whatever way, has written the
/// numbers in the same transaction. What a row counts for follows from the row alone; a trigger adds what it counts for now and takes away what it
/// counted for before. So the numbers equal a recount of the rows.
/// </summary>
internal static class AnalyticsSchema
{
    public const string Tables = """
        -- Fifteen minutes: days begin on such a border in every time zone, hours do not.
        CREATE FUNCTION quarter_of(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS
          $$ SELECT to_timestamp(floor(date_part('epoch', at) / 900) * 900) $$;

        -- When a chunk was cut, and so its messages were asked for. Chunks made before this was noted have it from their owner.
        ALTER TABLE chunks ADD COLUMN cut_at timestamptz NOT NULL DEFAULT clock_timestamp();
        UPDATE chunks AS k SET cut_at = coalesce(n.created_at, c.started_at, k.cut_at)
          FROM batches b LEFT JOIN notifications n ON n.app_no = b.app_no AND n.id = b.id LEFT JOIN campaigns c ON c.id = b.owner_id WHERE b.id = k.batch_id;

        -- The channels of a version without reading its content, which may be large. Read as json: what is in the content need not fit jsonb.
        CREATE FUNCTION channel_nos_of(content json) RETURNS integer[] LANGUAGE sql IMMUTABLE AS
          $$ SELECT array_agg((c ->> 'channelNo')::integer) FROM json_array_elements(content -> 'channels') AS c $$;
        ALTER TABLE template_versions ADD COLUMN channel_nos integer[] GENERATED ALWAYS AS (channel_nos_of(content)) STORED;

        -- What was not rolled up yet. Only ever appended and taken away, and read whole: an index would cost every writer and help nobody.
        CREATE TABLE stat_deltas (
          app_no integer NOT NULL,
          source_id bigint NOT NULL,                 -- batch or notification; of several with the same template and tag, one of them
          channel_no integer NOT NULL,
          at timestamptz NOT NULL,                   -- the quarter of an hour
          topic text COLLATE "C" NOT NULL DEFAULT '',-- with one, engaged counts the items engaged with in this way, and the rest is 0
          messages bigint NOT NULL DEFAULT 0,
          delivered bigint NOT NULL DEFAULT 0,
          failed bigint NOT NULL DEFAULT 0,
          skipped bigint NOT NULL DEFAULT 0,
          uncertain bigint NOT NULL DEFAULT 0,
          received bigint NOT NULL DEFAULT 0,
          read bigint NOT NULL DEFAULT 0,
          engaged bigint NOT NULL DEFAULT 0)
          WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

        CREATE TABLE stats (
          app_no integer NOT NULL,
          at timestamptz NOT NULL,
          template_id text COLLATE "C" NOT NULL,
          campaign_id text COLLATE "C" NOT NULL,     -- '' for direct notifications
          tag text COLLATE "C" NOT NULL,             -- '' for none
          channel_no integer NOT NULL,
          topic text COLLATE "C" NOT NULL,
          messages bigint NOT NULL,
          delivered bigint NOT NULL,
          failed bigint NOT NULL,
          skipped bigint NOT NULL,
          uncertain bigint NOT NULL,
          received bigint NOT NULL,
          read bigint NOT NULL,
          engaged bigint NOT NULL,
          PRIMARY KEY (app_no, at, template_id, campaign_id, tag, channel_no, topic)) WITH (fillfactor = 70);
        CREATE INDEX stats_campaign ON stats (app_no, campaign_id, at) WHERE campaign_id <> '';
        CREATE INDEX stats_template ON stats (app_no, template_id, at);
        """;

    public static readonly string Triggers = $"""
        -- Cut by the thousand, and taken back so: counted together.
        CREATE FUNCTION count_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          {OfChunks("SELECT TG_ARGV[0]::integer AS sign, * FROM changed")};
          RETURN NULL;
        END $$;
        CREATE TRIGGER count_new_chunks AFTER INSERT ON chunks REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_chunks('1');
        CREATE TRIGGER count_gone_chunks AFTER DELETE ON chunks REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_chunks('-1');
        -- One by one, so as not to be called when they are claimed, held or released: these columns are not written then.
        CREATE FUNCTION count_chunk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          {OfChunks("SELECT 1 AS sign, NEW.* UNION ALL SELECT -1, OLD.*")};
          RETURN NULL;
        END $$;
        CREATE TRIGGER count_chunk AFTER UPDATE OF n, delivered, failed, skipped, uncertain, cut_at, done_at ON chunks FOR EACH ROW EXECUTE FUNCTION count_chunk();

        CREATE FUNCTION count_notifications() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          {OfNotifications("made")};
          RETURN NULL;
        END $$;
        CREATE TRIGGER count_notifications AFTER INSERT ON notifications REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION count_notifications();

        -- Not when rows are removed, by retention or with their user: what has happened has happened.
        CREATE FUNCTION count_marks() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          {OfMarks("SELECT 1 AS sign, * FROM after UNION ALL SELECT -1, * FROM before")};
          RETURN NULL;
        END $$;
        CREATE TRIGGER count_marks AFTER UPDATE ON feed_items REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_marks();
        """;

    /// <summary>Counts what is there: for a schema whose rows are older than its numbers.</summary>
    public static readonly string Recount = $"""
        {OfChunks("SELECT 1 AS sign, * FROM chunks")};
        {OfNotifications("notifications")};
        {OfMarks("SELECT 1 AS sign, * FROM feed_items WHERE delivered_at IS NOT NULL OR read_at IS NOT NULL OR engaged_at IS NOT NULL")};
        """;

    public const string Drop = """
        DROP TRIGGER count_marks ON feed_items;
        DROP TRIGGER count_notifications ON notifications;
        DROP TRIGGER count_chunk ON chunks;
        DROP TRIGGER count_new_chunks ON chunks;
        DROP TRIGGER count_gone_chunks ON chunks;
        DROP FUNCTION count_marks(), count_notifications(), count_chunk(), count_chunks();
        DROP TABLE stats, stat_deltas;
        ALTER TABLE template_versions DROP COLUMN channel_nos;
        DROP FUNCTION channel_nos_of(json);
        ALTER TABLE chunks DROP COLUMN cut_at;
        DROP FUNCTION quarter_of(timestamptz);
        """;

    /// <summary>
    /// A chunk counts for its messages when it was cut, and for what became of them when that was first known. A later pass changes the numbers
    /// of that time. One that is sent anew has no such time until it is through; what it knows already then counts when it was cut.
    /// </summary>
    /// <param name="rows">Rows of <c>chunks</c> with the sign that they count with.</param>
    private static string OfChunks(string rows) => $"""
        INSERT INTO stat_deltas (app_no, source_id, channel_no, at, messages, delivered, failed, skipped, uncertain)
          SELECT c.app_no, c.batch_id, c.channel_no, quarter_of(f.at),
            sum(c.sign * f.messages), sum(c.sign * f.delivered), sum(c.sign * f.failed), sum(c.sign * f.skipped), sum(c.sign * f.uncertain)
          FROM ({rows}) AS c CROSS JOIN LATERAL (VALUES
            (c.cut_at, c.n, 0, 0, 0, 0),
            (coalesce(c.done_at, c.cut_at), 0, c.delivered, c.failed, c.skipped, c.uncertain)) AS f (at, messages, delivered, failed, skipped, uncertain)
          GROUP BY 1, 2, 3, 4
          HAVING sum(c.sign * f.messages) <> 0 OR sum(c.sign * f.delivered) <> 0 OR sum(c.sign * f.failed) <> 0 OR sum(c.sign * f.skipped) <> 0 OR sum(c.sign * f.uncertain) <> 0
        """;

    /// <summary>Notifications to few, once for all with the same template, tag and channels. Those with a batch, which name nobody themselves, count by its chunks.</summary>
    /// <param name="rows">Rows of <c>notifications</c>.</param>
    private static string OfNotifications(string rows) => $"""
        INSERT INTO stat_deltas (app_no, source_id, channel_no, at, messages, delivered, skipped)
          SELECT n.app_no, n.id, c.no, n.at, n.receivers, CASE WHEN c.no = ANY(n.channel_nos) THEN n.receivers ELSE 0 END, CASE WHEN c.no = ANY(n.channel_nos) THEN 0 ELSE n.receivers END
          FROM (SELECT app_no, template_id, template_version, tag, channel_nos, quarter_of(created_at) AS at, min(id) AS id, sum(receivers) AS receivers
            FROM {rows} WHERE cardinality(user_ids) > 0 GROUP BY 1, 2, 3, 4, 5, 6) AS n
          JOIN template_versions v ON v.template_id = n.template_id AND v.version = n.template_version -- template_versions' key
          CROSS JOIN unnest(v.channel_nos) AS c (no)
        """;

    /// <summary>What users did with their items counts when they first did it, topics with the first of them.</summary>
    /// <param name="rows">Rows of <c>feed_items</c> with the sign that they count with.</param>
    private static string OfMarks(string rows) => $"""
        INSERT INTO stat_deltas (app_no, source_id, channel_no, at, topic, received, read, engaged)
          SELECT i.app_no, i.source_id, i.channel_no, quarter_of(f.at), f.topic, sum(i.sign * f.received), sum(i.sign * f.read), sum(i.sign * f.engaged)
          FROM ({rows}) AS i CROSS JOIN LATERAL (
            VALUES (i.delivered_at, '', 1, 0, 0), (i.read_at, '', 0, 1, 0), (i.engaged_at, '', 0, 0, 1)
            UNION ALL SELECT i.engaged_at, t, 0, 0, 1 FROM unnest(i.topics) AS t) AS f (at, topic, received, read, engaged)
          WHERE f.at IS NOT NULL GROUP BY 1, 2, 3, 4, 5
          HAVING sum(i.sign * f.received) <> 0 OR sum(i.sign * f.read) <> 0 OR sum(i.sign * f.engaged) <> 0
        """;
}
