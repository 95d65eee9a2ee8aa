using CampaignService.Common;
using CampaignService.Data;
using Npgsql;
using NpgsqlTypes;

namespace CampaignService.Users;

/// <summary>
/// Makes people known and changes those who are, any number in one statement for each set of members that are given: mostly all users of
/// a call give the same ones, and then it is one. All in one transaction, the context's: whoever lost the key of the call must not commit.
/// </summary>
public sealed class UserUpsert(CampaignsDb db)
{
    private sealed record Member(string Column, string Cast, Func<UserEntry, bool> IsGiven, Func<UserEntry, string?> Value);

    private static readonly Member[] Members =
    [
        OfText("name", u => u.Name), OfText("role", u => u.Role), OfText("email", u => u.Email), OfText("phone", u => u.Phone),
        OfText("language", u => u.Language), OfText("timezone", u => u.Timezone), OfText("avatar", u => u.Avatar),
        new("attributes", "::jsonb", u => u.Attributes.IsGiven, u => u.Attributes.Value?.GetRawText()),
    ];

    /// <param name="appNo">The app.</param>
    /// <param name="users">Each id once.</param>
    public async Task<UpsertedView> RunAsync(int appNo, IReadOnlyCollection<UserEntry> users, CancellationToken ct)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        await using var batch = new NpgsqlBatch(db.Connection);
        // Those who are known are locked in the order of their ids: two calls about the same people wait for each other and do not lock each other out.
        // users' key
        batch.BatchCommands.Add(new("SELECT 1 FROM users WHERE app_no = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE") { Parameters = { new() { Value = appNo }, Texts(users.Select(u => u.Key)) } });
        foreach (var alike in users.OrderBy(u => u.Key, StringComparer.Ordinal).GroupBy(Given)) batch.BatchCommands.Add(Command(appNo, [.. alike]));
        var (created, updated) = (0, 0);
        await using (var reader = await batch.ExecuteReaderAsync(ct))
        {
            while (await reader.NextResultAsync(ct))
            {
                while (await reader.ReadAsync(ct))
                {
                    if (reader.GetBoolean(0)) created++;
                    else updated++;
                }
            }
        }
        await transaction.CommitAsync(ct);
        return new UpsertedView(created, updated);
    }

    private static NpgsqlBatchCommand Command(int appNo, UserEntry[] users)
    {
        var given = Members.Where(m => m.IsGiven(users[0])).ToArray();
        // users' key. Members that are not given do not appear, so they stay. A row that was inserted has no xmax.
        var command = new NpgsqlBatchCommand($"""
            INSERT INTO users (app_no, id, created_at, updated_at{string.Concat(given.Select(m => $", {m.Column}"))})
            SELECT $1, given.id, clock_timestamp(), clock_timestamp(){string.Concat(given.Select(m => $", given.{m.Column}{m.Cast}"))}
            FROM unnest($2{string.Concat(given.Select((_, i) => $", ${i + 3}"))}) AS given (id{string.Concat(given.Select(m => $", {m.Column}"))})
            ON CONFLICT (app_no, id) DO UPDATE SET updated_at = excluded.updated_at{string.Concat(given.Select(m => $", {m.Column} = excluded.{m.Column}"))}
            RETURNING xmax = 0
            """);
        command.Parameters.Add(new() { Value = appNo });
        command.Parameters.Add(Texts(users.Select(u => u.Key)));
        foreach (var member in given) command.Parameters.Add(Texts(users.Select(member.Value)));
        return command;
    }

    private static NpgsqlParameter Texts(IEnumerable<string?> values) => new() { Value = values.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };

    private static int Given(UserEntry user)
    {
        var mask = 0;
        for (var i = 0; i < Members.Length; i++) mask |= Members[i].IsGiven(user) ? 1 << i : 0;
        return mask;
    }

    private static Member OfText(string column, Func<UserEntry, Optional<string?>> member) => new(column, "", u => member(u).IsGiven, u => member(u).Value?.Trim());
}
