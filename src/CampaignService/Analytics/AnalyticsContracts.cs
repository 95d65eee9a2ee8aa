using System.ComponentModel.DataAnnotations;
using CampaignService.Channels;
using CampaignService.Common;

namespace CampaignService.Analytics;

/// <summary>Which time the numbers are of.</summary>
public sealed class AnalyticsQuery
{
    /// <summary>What one entry of <c>timeSeries</c> covers.</summary>
    public AnalyticsPeriod Period { get; init; } = AnalyticsPeriod.Daily;

    /// <summary>From when on: RFC 3339 with an offset, or Unix seconds. The whole hour or day in which it lies is counted. Left out: such that there are 24 hours or 30 days. At most 31 days before <c>endDate</c> when hourly, 366 when daily.</summary>
    /// <example>2026-03-01T00:00:00Z</example>
    [QueryTime]
    [WithinCalendar]
    public DateTimeOffset? StartDate { get; init; }

    /// <summary>Until when, itself not among it: RFC 3339 with an offset, or Unix seconds. The whole hour or day in which it lies is counted. Left out: now.</summary>
    /// <example>2026-03-08T00:00:00Z</example>
    [QueryTime]
    [WithinCalendar]
    public DateTimeOffset? EndDate { get; init; }

    /// <summary>Whose days are counted when daily: the IANA name of a time zone. Hours are those of UTC.</summary>
    /// <example>Europe/Berlin</example>
    [KnownZone]
    public string TimeZone { get; init; } = "UTC";

    /// <summary>Only what was sent with exactly this tag.</summary>
    /// <example>spring</example>
    [StringLength(Text.MaxLabel, ErrorMessage = "must have at most 100 characters")]
    public string? Tag { get; init; }

    /// <summary>Beyond it no time zone is asked.</summary>
    private sealed class WithinCalendarAttribute : ValidationAttribute
    {
        public override bool IsValid(object? value) => value is not DateTimeOffset { UtcDateTime.Year: < 2000 or >= 2100 };

        public override string FormatErrorMessage(string name) => "must lie in the years 2000 to 2099";
    }

    private sealed class KnownZoneAttribute : ValidationAttribute
    {
        public override bool IsValid(object? value) => value is string name && TimeZones.Find(name) is not null;

        public override string FormatErrorMessage(string name) => TimeZones.Expected;
    }
}

/// <summary>How time is cut.</summary>
public enum AnalyticsPeriod
{
    /// <summary>Hours of UTC.</summary>
    Hourly = 1,

    /// <summary>Days of the time zone asked for.</summary>
    Daily = 2,
}

/// <summary>Numbers of messages; a message is one recipient on one channel.</summary>
/// <param name="Messages">Asked for: counted when their sending began.</param>
/// <param name="Delivered">Handed over for good: in the feed, or taken by the provider.</param>
/// <param name="Failed">Refused for good.</param>
/// <param name="Skipped">Left out, each with a reason.</param>
/// <param name="Uncertain">May have been handed over: a process died between the call and its answer.</param>
/// <param name="Received">Reported by the receiving side as seen by a device: `delivered` in the `receipts` of a campaign.</param>
/// <param name="Read">Reported as read.</param>
/// <param name="Engaged">Reported as acted upon, whatever the topic.</param>
public record Figures(long Messages, long Delivered, long Failed, long Skipped, long Uncertain, long Received, long Read, long Engaged);

/// <summary>The numbers of one hour or day.</summary>
/// <param name="Date">When it begins.</param>
/// <param name="Messages">Asked for.</param>
/// <param name="Delivered">Handed over for good.</param>
/// <param name="Failed">Refused for good.</param>
/// <param name="Skipped">Left out.</param>
/// <param name="Uncertain">May have been handed over.</param>
/// <param name="Received">Seen by a device.</param>
/// <param name="Read">Read.</param>
/// <param name="Engaged">Acted upon.</param>
public sealed record DatedFigures(DateTimeOffset Date, long Messages, long Delivered, long Failed, long Skipped, long Uncertain, long Received, long Read, long Engaged)
    : Figures(Messages, Delivered, Failed, Skipped, Uncertain, Received, Read, Engaged);

/// <summary>How many items were acted upon in one way.</summary>
/// <param name="Topic">The way, in the app's own word.</param>
/// <param name="Count">The items; each counts once for a topic, at the time of its first topic.</param>
public sealed record TopicCount(string Topic, long Count);

/// <summary>
/// Numbers over a time, equal to a recount of what is stored at the moment of the answer. What became of a message counts when it was first known; trying
/// again those who were not served changes the numbers of that time.
/// </summary>
/// <param name="Period">What one entry of `timeSeries` covers.</param>
/// <param name="TimeZone">Whose days.</param>
/// <param name="StartDate">Where the first hour or day begins.</param>
/// <param name="EndDate">Where the last one ends.</param>
/// <param name="Totals">Of the whole time.</param>
/// <param name="Topics">The 50 most frequent ways in which items were acted upon, most frequent first.</param>
/// <param name="TimeSeries">Hour by hour or day by day, oldest first, empty ones too.</param>
public record AnalyticsView(
    AnalyticsPeriod Period, string TimeZone, DateTimeOffset StartDate, DateTimeOffset EndDate, Figures Totals, IReadOnlyList<TopicCount> Topics, IReadOnlyList<DatedFigures> TimeSeries)
{
    internal static AnalyticsView Of(AnalyticsWindow window, Stats stats) => new(window.Period, window.Zone.Id, window.Start, window.End, stats.Totals, stats.Topics, stats.TimeSeries);
}

/// <summary>The numbers of one channel.</summary>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="ChannelType">The channel's type.</param>
/// <param name="Period">What one entry of `timeSeries` covers.</param>
/// <param name="TimeZone">Whose days.</param>
/// <param name="StartDate">Where the first hour or day begins.</param>
/// <param name="EndDate">Where the last one ends.</param>
/// <param name="Totals">Of the whole time.</param>
/// <param name="Topics">The 50 most frequent ways in which items were acted upon, most frequent first.</param>
/// <param name="TimeSeries">Hour by hour or day by day, oldest first, empty ones too.</param>
public sealed record ChannelAnalyticsView(
    string ChannelId, ChannelType ChannelType, AnalyticsPeriod Period, string TimeZone, DateTimeOffset StartDate, DateTimeOffset EndDate,
    Figures Totals, IReadOnlyList<TopicCount> Topics, IReadOnlyList<DatedFigures> TimeSeries)
    : AnalyticsView(Period, TimeZone, StartDate, EndDate, Totals, Topics, TimeSeries)
{
    internal static ChannelAnalyticsView Of(Channel channel, AnalyticsWindow window, Stats stats) =>
        new(channel.ChannelId, channel.Type, window.Period, window.Zone.Id, window.Start, window.End, stats.Totals, stats.Topics, stats.TimeSeries);
}

/// <summary>Numbers of messages in one user's feed.</summary>
/// <param name="Delivered">Put into the feed.</param>
/// <param name="Received">Seen by a device.</param>
/// <param name="Read">Read.</param>
/// <param name="Engaged">Acted upon, whatever the topic.</param>
public record UserFigures(long Delivered, long Received, long Read, long Engaged);

/// <summary>One user's numbers of one hour or day.</summary>
/// <param name="Date">When it begins.</param>
/// <param name="Delivered">Put into the feed.</param>
/// <param name="Received">Seen by a device.</param>
/// <param name="Read">Read.</param>
/// <param name="Engaged">Acted upon.</param>
public sealed record DatedUserFigures(DateTimeOffset Date, long Delivered, long Received, long Read, long Engaged) : UserFigures(Delivered, Received, Read, Engaged);

/// <summary>What one user did with what was sent to them, as long as their feed keeps it: also what they deleted or what has expired.</summary>
/// <param name="UserId">The user.</param>
/// <param name="Viewed">Items read.</param>
/// <param name="Clicked">Items acted upon with the topic `clicked`.</param>
/// <param name="Interacted">Items acted upon, whatever the topic.</param>
/// <param name="LastEngagement">When, within this time, an item was last acted upon for the first time; null: none was.</param>
/// <param name="Period">What one entry of `timeSeries` covers.</param>
/// <param name="TimeZone">Whose days.</param>
/// <param name="StartDate">Where the first hour or day begins.</param>
/// <param name="EndDate">Where the last one ends.</param>
/// <param name="Totals">Of the whole time.</param>
/// <param name="Topics">The 50 most frequent ways in which items were acted upon, most frequent first.</param>
/// <param name="TimeSeries">Hour by hour or day by day, oldest first, empty ones too.</param>
public sealed record UserAnalyticsView(
    string UserId, long Viewed, long Clicked, long Interacted, DateTimeOffset? LastEngagement, AnalyticsPeriod Period, string TimeZone,
    DateTimeOffset StartDate, DateTimeOffset EndDate, UserFigures Totals, IReadOnlyList<TopicCount> Topics, IReadOnlyList<DatedUserFigures> TimeSeries)
{
    internal static UserAnalyticsView Of(string userId, AnalyticsWindow window, UserStats stats) => new(userId, stats.Totals.Read, stats.Clicked, stats.Totals.Engaged, stats.LastEngagement,
        window.Period, window.Zone.Id, window.Start, window.End, stats.Totals, stats.Topics, stats.TimeSeries);
}
