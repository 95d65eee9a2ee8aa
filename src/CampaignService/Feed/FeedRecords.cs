using System.Runtime.CompilerServices;
using CampaignService.Users;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>One person's feed, with what they deleted and what has expired as long as it is kept. Receipts stay: they are numbers.</summary>
public sealed class FeedRecords(NpgsqlDataSource source, FeedReader reader, FeedViews views) : IPersonalData
{
    private const int Step = 100;

    public string Kind => "feedItems";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct)
    {
        // feed_items' key
        await using var command = source.CreateCommand("DELETE FROM feed_items WHERE app_no = $1 AND user_id = $2");
        command.Parameters.Add(new() { Value = person.AppNo });
        command.Parameters.Add(new() { Value = person.UserId });
        return await command.ExecuteNonQueryAsync(ct);
    }

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        for (var before = long.MaxValue; ;)
        {
            var rows = await reader.AllAsync(person, before, Step, ct);
            foreach (var item in await views.OfAsync(person.AppNo, rows, ct)) yield return item;
            if (rows.Count < Step) yield break;
            before = rows[^1].Id;
        }
    }
}
