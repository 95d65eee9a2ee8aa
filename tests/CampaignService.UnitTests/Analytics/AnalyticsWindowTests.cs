using CampaignService.Analytics;

namespace CampaignService.UnitTests.Analytics;

public sealed class AnalyticsWindowTests
{
    /// <summary>Numbers are kept by the quarter of an hour, so a day that began elsewhere could not be told.</summary>
    [Fact]
    public void In_every_zone_days_are_whole_follow_each_other_and_begin_on_a_quarter_of_an_hour()
    {
        foreach (var zone in TimeZoneInfo.GetSystemTimeZones())
        {
            for (var year = 2024; year < 2028; year++)
            {
                var days = AnalyticsWindow.Of(new AnalyticsQuery { TimeZone = zone.Id, StartDate = New(year, 1, 1, 12), EndDate = New(year, 12, 31, 12) }, New(year, 12, 31, 12)).Edges;
                for (var i = 0; i + 1 < days.Length; i++)
                {
                    Assert.True(days[i].UtcTicks % (15 * TimeSpan.TicksPerMinute) == 0, $"{zone.Id}: {days[i]:O}");
                    Assert.True(days[i + 1] - days[i] is { TotalHours: >= 20 and <= 28 }, $"{zone.Id}: {days[i]:O} to {days[i + 1]:O}");
                    var (before, first, last) = (LocalDay(days[i].AddTicks(-1), zone), LocalDay(days[i], zone), LocalDay(days[i + 1].AddTicks(-1), zone));
                    Assert.True(before < first && first == last, $"{zone.Id}: {before} | {first} to {last}");
                }
            }
        }
    }

    [Theory]
    // Clocks set forward over midnight, and back over it: the hour from 0 to 1 is there twice, and the day has 25 of them.
    [InlineData("Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-23T22:00:00Z")]
    [InlineData("America/Havana", "2026-11-01T12:00:00-05:00", "2026-11-01T04:00:00Z")]
    public void Where_clocks_change_at_midnight_a_day_begins_with_its_first_moment(string zone, string noon, string begin)
    {
        var at = DateTimeOffset.Parse(noon, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(DateTimeOffset.Parse(begin, System.Globalization.CultureInfo.InvariantCulture), AnalyticsWindow.Of(new AnalyticsQuery { TimeZone = zone, StartDate = at, EndDate = at.AddHours(1) }, at).Start);
    }

    private static DateTimeOffset New(int year, int month, int day, int hour) => new(year, month, day, hour, 0, 0, TimeSpan.Zero);

    private static DateOnly LocalDay(DateTimeOffset at, TimeZoneInfo zone) => DateOnly.FromDateTime(TimeZoneInfo.ConvertTime(at, zone).DateTime);
}
