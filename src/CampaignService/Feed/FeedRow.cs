using CampaignService.Common;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>Whose feed. The same user id in two apps is two users.</summary>
public sealed record FeedOwner(int AppNo, string UserId);

/// <summary>A feed item as it is stored: values, not text.</summary>
public sealed record FeedRow(long Id, int ChannelNo, long SourceId, DateTimeOffset? DeliveredAt, DateTimeOffset? ReadAt, string?[] Vars)
{
    public string PublicId => Ids.FromNumber(Ids.FeedItem, Id);

    /// <summary>The database's time when the item was written: the upper bits of its id.</summary>
    public DateTimeOffset SentAt => FeedTime.Of(Id);

    public FeedItemStatus Status => ReadAt is not null ? FeedItemStatus.Read : DeliveredAt is not null ? FeedItemStatus.Delivered : FeedItemStatus.Sent;

    /// <summary>From the columns id, channel_no, source_id, delivered_at, read_at, vars.</summary>
    public static FeedRow Of(NpgsqlDataReader reader) => new(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt64(2),
        reader.IsDBNull(3) ? null : reader.GetFieldValue<DateTimeOffset>(3), reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4),
        reader.GetFieldValue<string?[]>(5));
}

/// <summary>The time inside a feed item's id: milliseconds since 2024, above a block and a place in it, 11 bits each.</summary>
public static class FeedTime
{
    /// <summary>The first time that an id can carry.</summary>
    public static readonly DateTimeOffset First = new(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Later times would not fit the 41 bits there are for them; <c>id_at</c> would overflow.</summary>
    public static readonly DateTimeOffset Last = new(2093, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static DateTimeOffset Of(long id) => First.AddMilliseconds(id >> 22);

    /// <summary>The nearest time that an id can carry: a bound beyond the range means all or nothing, as it should.</summary>
    public static DateTimeOffset Within(DateTimeOffset time) => time < First ? First : time > Last ? Last : time.ToUniversalTime();
}
