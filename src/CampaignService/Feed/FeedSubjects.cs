using System.Text.Json;
using CampaignService.Common;
using CampaignService.Webhooks;

namespace CampaignService.Feed;

/// <summary>What events say of feed items: the item as it was at the time, and whose it is.</summary>
public sealed class FeedSubjects(FeedReader reader, FeedViews views) : IEventSubjects
{
    /// <summary>SQL that tells of marks, with the app as <c>$1</c> and the user as <c>$2</c>.</summary>
    /// <param name="type">What was done.</param>
    /// <param name="id">Where the item's id is found.</param>
    /// <param name="from">The rows that were marked.</param>
    /// <param name="topic">Where the topic is found.</param>
    internal static string Tell(EventType type, string id, string from, string topic = "NULL") =>
        $"INSERT INTO outbox_events (app_no, type, subject, person, detail) SELECT $1, {(short)type}, {id}, $2, {topic} FROM {from}";

    public bool Owns(EventType type) => type is EventType.FeedItemDelivered or EventType.FeedItemRead or EventType.FeedItemEngaged;

    public async ValueTask<IReadOnlyDictionary<long, RawJson>> DescribeAsync(int appNo, IReadOnlyList<EventRow> events, CancellationToken ct)
    {
        var found = await reader.FindAllAsync([.. events.Select(_ => appNo)], [.. events.Select(e => e.Person!)], [.. events.Select(e => e.Subject!.Value)], ct, evenHidden: true);
        var items = await views.OfAsync(appNo, [.. found.Select(f => AsOf(f.Row, events[f.Place].At))], ct);
        return items.Zip(found).ToDictionary(pair => events[pair.Second.Place].Seq, pair => Describe(events[pair.Second.Place], pair.First));
    }

    /// <summary>First times are kept, so what was marked by then can be told afterwards.</summary>
    private static FeedRow AsOf(FeedRow row, DateTimeOffset at)
    {
        return row with { DeliveredAt = UpTo(row.DeliveredAt), ReadAt = UpTo(row.ReadAt), EngagedAt = UpTo(row.EngagedAt) };

        DateTimeOffset? UpTo(DateTimeOffset? time) => time <= at ? time : null;
    }

    private static RawJson Describe(EventRow happened, FeedItemView item)
    {
        var json = JsonSerializer.SerializeToNode(item, Json.Options)!.AsObject();
        json.Insert(1, "userId", happened.Person);
        if (happened.Detail is { } topic) json["topic"] = topic;
        return new RawJson(JsonSerializer.SerializeToUtf8Bytes(json, Json.Options));
    }
}
