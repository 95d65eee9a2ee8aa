using System.Text;
using CampaignService.Common;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>Reads the log, and puts events together as callers and their servers get them.</summary>
public sealed class EventReader(NpgsqlDataSource source, IServiceScopeFactory scopes)
{
    private static readonly RawJson Gone = new("null"u8.ToArray());

    /// <summary>Those behind a place in the log, oldest first.</summary>
    public async Task<IReadOnlyList<EventRow>> AfterAsync(int appNo, long after, int limit, CancellationToken ct)
    {
        // events' key. Of the rows no more than it takes: one may be a run of hundreds.
        await using var command = source.CreateCommand($"""
            SELECT {EventRow.Columns} FROM (
              SELECT *, sum(coalesce(2 * cardinality(subjects), 1)) OVER (ORDER BY seq) AS until, coalesce(2 * cardinality(subjects), 1) AS n,
                first_value(coalesce(2 * cardinality(subjects), 1)) OVER (ORDER BY seq) AS first
              FROM (SELECT * FROM events WHERE app_no = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS next) AS v
            WHERE v.until - v.n - v.first < $3 ORDER BY v.seq
            """);
        command.Parameters.Add(new() { Value = appNo });
        command.Parameters.Add(new() { Value = after });
        command.Parameters.Add(new() { Value = limit });
        var rows = new List<EventRow>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (rows.Count < limit && await reader.ReadAsync(ct)) rows.AddRange(EventRow.Of(reader, after: after).Take(limit - rows.Count));
        return rows;
    }

    /// <summary>The last place whose event was removed for its age; 0 when none was yet.</summary>
    public async Task<long> PrunedToAsync(int appNo, CancellationToken ct)
    {
        // pruned_events' key
        await using var command = source.CreateCommand("SELECT seq FROM pruned_events WHERE app_no = $1");
        command.Parameters.Add(new() { Value = appNo });
        return await command.ExecuteScalarAsync(ct) as long? ?? 0;
    }

    /// <returns>In the same order.</returns>
    public async Task<IReadOnlyList<EventView>> DescribeAsync(int appNo, IReadOnlyList<EventRow> rows, CancellationToken ct)
    {
        var described = new Dictionary<long, RawJson>();
        if (rows.Any(r => r.Data is null))
        {
            await using var scope = scopes.CreateAsyncScope();
            foreach (var kind in scope.ServiceProvider.GetServices<IEventSubjects>())
            {
                EventRow[] theirs = [.. rows.Where(r => r.Data is null && kind.Owns(r.Type))];
                if (theirs.Length == 0) continue;
                foreach (var (seq, data) in await kind.DescribeAsync(appNo, theirs, ct)) described[seq] = data;
            }
        }
        return [.. rows.Select(r => new EventView(r.PublicId, r.Type.Wire(), r.At, r.Data is { } data ? new RawJson(Encoding.UTF8.GetBytes(data)) : described.GetValueOrDefault(r.Seq, Gone)))];
    }
}
