using CampaignService.Common;
using Npgsql;

namespace CampaignService.Feed;

/// <summary>A feed item as it is stored: values, not text.</summary>
public sealed record FeedRow(long Id, int ChannelNo, long SourceId, DateTimeOffset? DeliveredAt, DateTimeOffset? ReadAt, DateTimeOffset? EngagedAt, string?[] Vars)
{
    /// <summary>What <see cref="Of"/> reads, in its order.</summary>
    internal const string Columns = "id, channel_no, source_id, delivered_at, read_at, engaged_at, vars";

    /// <summary>What users see of the table: an item that was deleted or has expired is in no page, no count and no stream.</summary>
    internal const string Visible = "(deleted_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()))";

    public string PublicId => Ids.FromNumber(Ids.FeedItem, Id);

    /// <summary>The database's time when the item was written: the upper bits of its id.</summary>
    public DateTimeOffset SentAt => FeedTime.Of(Id);

    public FeedItemStatus Status => ReadAt is not null ? FeedItemStatus.Read : DeliveredAt is not null ? FeedItemStatus.Delivered : FeedItemStatus.Sent;

    /// <param name="reader">Stands on a row.</param>
    /// <param name="at">Where its <see cref="Columns"/> begin.</param>
    public static FeedRow Of(NpgsqlDataReader reader, int at = 0) => new(reader.GetInt64(at), reader.GetInt32(at + 1), reader.GetInt64(at + 2),
        TimeOf(reader, at + 3), TimeOf(reader, at + 4), TimeOf(reader, at + 5), reader.GetFieldValue<string?[]>(at + 6));

    private static DateTimeOffset? TimeOf(NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);
}

/// <summary>The time inside a feed item's id: milliseconds since 2024, above a block and a place in it, 11 bits each.</summary>
public static class FeedTime
{
    /// <summary>The first time that an id can carry.</summary>
    public static readonly DateTimeOffset First = new(2024, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Later times would not fit the 41 bits there are for them; <c>id_at</c> would overflow.</summary>
    public static readonly DateTimeOffset Last = new(2093, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static DateTimeOffset Of(long id) => First.AddMilliseconds(id >> 22);

    /// <summary>Smaller than the ids of all items of that time or later, larger than those before.</summary>
    public static long IdAt(DateTimeOffset time) => (long)(Within(time) - First).TotalMilliseconds << 22;

    /// <summary>The nearest time that an id can carry: a bound beyond the range means all or nothing, as it should.</summary>
    public static DateTimeOffset Within(DateTimeOffset time) => time < First ? First : time > Last ? Last : time.ToUniversalTime();
}
