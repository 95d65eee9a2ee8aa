using CampaignService.Common;

namespace CampaignService.Analytics;

/// <summary>
/// The time that numbers are asked for, cut into hours or into the days of a time zone. Whole ones: those in which it begins and ends belong
/// to it. Every border is one of a quarter of an hour, in which the numbers are kept.
/// </summary>
/// <param name="Period">How it is cut.</param>
/// <param name="Zone">Whose days.</param>
/// <param name="Edges">Where each hour or day begins, and where the last one ends.</param>
public sealed record AnalyticsWindow(AnalyticsPeriod Period, TimeZoneInfo Zone, DateTimeOffset[] Edges)
{
    /// <summary>The longest: what an answer may hold, and a statement read.</summary>
    private const int MaxHourlyDays = 31, MaxDailyDays = 366;

    private static readonly TimeSpan Step = TimeSpan.FromMinutes(15);

    public DateTimeOffset Start => Edges[0];

    public DateTimeOffset End => Edges[^1];

    /// <exception cref="ApiException">400: it ends before it begins, or is too long.</exception>
    public static AnalyticsWindow Of(AnalyticsQuery query, DateTimeOffset now)
    {
        // An end belongs to what went before it: a day that ends at midnight is not followed by another.
        var last = (query.EndDate ?? now).AddTicks(-1);
        // 24 hours or 30 days, that of the end among them.
        var start = query.StartDate ?? (query.Period == AnalyticsPeriod.Hourly ? last.AddHours(-23) : last.AddDays(-29));
        var most = TimeSpan.FromDays(query.Period == AnalyticsPeriod.Hourly ? MaxHourlyDays : MaxDailyDays);
        if (start > last) throw new ApiException(Errors.BadRequest("endDate: must be after startDate; left out, it is now"));
        if (last - start >= most) throw new ApiException(Errors.BadRequest($"startDate: must be at most {most.TotalDays} days before endDate"));
        var zone = TimeZones.Find(query.TimeZone)!;
        return new AnalyticsWindow(query.Period, zone, [.. query.Period == AnalyticsPeriod.Hourly ? Hours(start, last) : Days(zone, start, last)]);
    }

    private static IEnumerable<DateTimeOffset> Hours(DateTimeOffset start, DateTimeOffset last)
    {
        var hour = new DateTimeOffset(start.UtcTicks - (start.UtcTicks % TimeSpan.TicksPerHour), TimeSpan.Zero);
        for (; hour <= last; hour = hour.AddHours(1)) yield return hour;
        yield return hour;
    }

    private static IEnumerable<DateTimeOffset> Days(TimeZoneInfo zone, DateTimeOffset start, DateTimeOffset last)
    {
        var day = DateIn(zone, start);
        var begin = BeginOf(day, zone);
        for (; begin <= last; begin = BeginOf(day, zone))
        {
            yield return begin;
            day = day.AddDays(1);
        }
        yield return begin;
    }

    /// <summary>
    /// The first moment that has this date. Looked for from the side of UTC, where there is no doubt: midnight may be left out when clocks are set
    /// forward, come twice when they are set back, and what a zone is said to do then is not always right.
    /// </summary>
    private static DateTimeOffset BeginOf(DateOnly day, TimeZoneInfo zone)
    {
        var begin = new DateTimeOffset(day.ToDateTime(TimeOnly.MinValue), TimeSpan.Zero);
        begin -= zone.GetUtcOffset(begin);
        while (DateIn(zone, begin) >= day) begin -= Step;
        while (DateIn(zone, begin) < day) begin += Step;
        return begin;
    }

    private static DateOnly DateIn(TimeZoneInfo zone, DateTimeOffset at) => DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(at, zone).DateTime);
}
