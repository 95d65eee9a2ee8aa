using System.Runtime.CompilerServices;
using CampaignService.Users;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>One person's feed. Receipts stay: they are numbers.</summary>
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
        var owner = new FeedOwner(person.AppNo, person.UserId);
        for (var before = long.MaxValue; ;)
        {
            var walked = await reader.WalkAsync(owner, new FeedFilter(null, null, null, null), before, Step, ct);
            foreach (var item in await views.OfAsync(person.AppNo, [.. walked.Select(w => w.Row).OfType<FeedRow>()], ct)) yield return item;
            if (walked.Count < Step) yield break;
            before = walked[^1].Id;
        }
    }
}
