using System.Diagnostics;
using Npgsql;

namespace CampaignService.Benchmarks;

/// <summary>What the product is measured against: the same work done by PostgreSQL alone, in the same database.</summary>
internal sealed class References(NpgsqlDataSource db, Psql psql)
{
    public const string ThreeColumns = """
        CREATE TABLE reference_columns (
          batch_id bigint NOT NULL DEFAULT 1, user_id text NOT NULL, name text, city text, code text,
          UNIQUE (batch_id, user_id))
        """;

    public const string OneArray = """
        CREATE TABLE reference_array (
          batch_id bigint NOT NULL DEFAULT 1, user_id text NOT NULL, vars text[] NOT NULL,
          UNIQUE (batch_id, user_id))
        """;

    public const string WithStatus = """
        CREATE TABLE reference_recipients (
          batch_id bigint NOT NULL DEFAULT 1, user_id text NOT NULL, name text, city text, code text, status smallint NOT NULL DEFAULT 0,
          UNIQUE (batch_id, user_id))
        """;

    /// <summary>No join from the rows inserted to the rows updated: it would be more work for the reference, and the result is the same.</summary>
    public const string SendStatement = """
        WITH sent AS (
          INSERT INTO reference_feed (app_no, channel_no, id, source_id, user_id, vars)
          SELECT 1, 1, next_id(), batch_id, user_id, ARRAY[name, city, code] FROM reference_recipients WHERE batch_id = 1)
        UPDATE reference_recipients SET status = 2 WHERE batch_id = 1
        """;

    /// <summary>Columns, key, partitions and their options are read from the product's own table, so that they cannot drift apart.</summary>
    private const string Feed = """
        DO $$
        DECLARE part record;
        BEGIN
          CREATE TABLE reference_feed (LIKE feed_items INCLUDING DEFAULTS) PARTITION BY RANGE (id);
          EXECUTE 'ALTER TABLE reference_feed ADD ' ||
            (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'feed_items'::regclass AND contype = 'p');
          FOR part IN
            SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound, coalesce(array_to_string(c.reloptions, ', '), 'fillfactor = 100') AS options
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'feed_items'::regclass
          LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF reference_feed %s WITH (%s)', 'reference_' || part.relname, part.bound, part.options);
          END LOOP;
        END $$
        """;

    public async Task CreateAsync(CancellationToken ct)
    {
        foreach (var sql in new[] { ThreeColumns, OneArray, WithStatus, Feed }) await db.ExecuteAsync(sql, ct);
    }

    public Task ClearAsync(CancellationToken ct) =>
        db.ExecuteAsync("TRUNCATE reference_columns, reference_array, reference_recipients, reference_feed", ct);

    public Task<TimeSpan> CopyColumnsAsync(RecipientFile file, CancellationToken ct) =>
        CopyAsync("reference_columns", "user_id, name, city, code", file.Csv, file.Rows, ct);

    public Task<TimeSpan> CopyArrayAsync(RecipientFile file, CancellationToken ct) =>
        CopyAsync("reference_array", "user_id, vars", file.ArrayCsv, file.Rows, ct);

    public Task<TimeSpan> CopyRecipientsAsync(RecipientFile file, CancellationToken ct) =>
        CopyAsync("reference_recipients", "user_id, name, city, code", file.Csv, file.Rows, ct);

    /// <summary>Puts the recipients of the table into the order of their ids, in which the product keeps its own.</summary>
    public async Task SortRecipientsAsync(CancellationToken ct)
    {
        await db.ExecuteAsync("CREATE TABLE reference_sorting AS SELECT * FROM reference_recipients ORDER BY user_id", ct);
        await db.ExecuteAsync("TRUNCATE reference_recipients", ct);
        await db.ExecuteAsync("INSERT INTO reference_recipients SELECT * FROM reference_sorting", ct);
        await db.ExecuteAsync("DROP TABLE reference_sorting", ct);
    }

    /// <summary>Without statistics the planner would guess; the product's own statements do not depend on any.</summary>
    public Task AnalyzeAsync(CancellationToken ct) => db.ExecuteAsync("ANALYZE reference_recipients", ct);

    public async Task<TimeSpan> SendAsync(int recipients, CancellationToken ct)
    {
        await using var connection = await db.OpenConnectionAsync(ct);
        await using var command = new NpgsqlCommand(SendStatement, connection) { CommandTimeout = 0 };
        var clock = Stopwatch.StartNew();
        var updated = await command.ExecuteNonQueryAsync(ct);
        clock.Stop();
        Product.Require("feed rows of the reference", recipients, await db.ScalarAsync<long>("SELECT count(DISTINCT user_id) FROM reference_feed", ct));
        Product.Require("recipients updated by the reference", recipients, await db.ScalarAsync<long>("SELECT count(*) FROM reference_recipients WHERE status = 2", ct));
        return updated >= recipients ? clock.Elapsed : throw new BenchException("The reference did nothing.");
    }

    private async Task<TimeSpan> CopyAsync(string table, string columns, string file, int rows, CancellationToken ct)
    {
        var time = await psql.CopyAsync($"{table} ({columns})", file, ct);
        Product.Require($"rows in {table}", rows, await db.ScalarAsync<long>($"SELECT count(*) FROM {table}", ct));
        return time;
    }
}
