using System.Globalization;
using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Analytics;

/// <summary>Where an hour and a day begin and end. These tests put what happened at times of their own.</summary>
public sealed class AnalyticsBorderTests(AnalyticsService service) : IClassFixture<AnalyticsService>
{
    private Api Api => service.Api;

    [Theory]
    // The clocks of Berlin go forward on the 29th of March, the day has 23 hours, and back on the 25th of October, 25 hours.
    [InlineData("Europe/Berlin", "2026-03-28T12:00:00+01:00", "2026-03-30T12:00:00+02:00", "2026-03-27T23:00:00Z 2026-03-28T23:00:00Z 2026-03-29T22:00:00Z 2026-03-30T22:00:00Z")]
    [InlineData("Europe/Berlin", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00", "2026-10-23T22:00:00Z 2026-10-24T22:00:00Z 2026-10-25T23:00:00Z 2026-10-26T23:00:00Z")]
    [InlineData("Asia/Kolkata", "2026-03-28T12:00:00+05:30", "2026-03-30T12:00:00+05:30", "2026-03-27T18:30:00Z 2026-03-28T18:30:00Z 2026-03-29T18:30:00Z 2026-03-30T18:30:00Z")]
    [InlineData("UTC", "2026-03-28T00:00:00Z", "2026-03-30T23:59:59Z", "2026-03-28T00:00:00Z 2026-03-29T00:00:00Z 2026-03-30T00:00:00Z 2026-03-31T00:00:00Z")]
    public async Task A_day_is_that_of_the_zone_asked_for_to_the_last_microsecond(string zone, string from, string to, string edges)
    {
        var (at, id) = (edges.Split(' ').Select(edge => DateTimeOffset.Parse(edge, CultureInfo.InvariantCulture)).ToArray(), await Api.SendingAsync(9));
        await service.DeliverAsync();
        // One read at each border, one right before it.
        for (var i = 0; i < 4; i++)
        {
            await ReadAsync(id, i, at[i]);
            await ReadAsync(id, i + 4, at[i].AddMicroseconds(-1));
        }
        for (var rolledUp = 0; rolledUp < 2; rolledUp++)
        {
            var data = (await Api.GetAsync($"/api/analytics/campaigns/{id}?timeZone={zone}&startDate={Uri.EscapeDataString(from)}&endDate={Uri.EscapeDataString(to)}")).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal([(at[0], 2L), (at[1], 2L), (at[2], 2L)], data.GetProperty("timeSeries").EnumerateArray().Select(e => (e.GetProperty("date").GetDateTimeOffset(), e.GetProperty("read").GetInt64())));
            Assert.Equal((at[0], at[3], zone), (data.GetProperty("startDate").GetDateTimeOffset(), data.GetProperty("endDate").GetDateTimeOffset(), data.GetProperty("timeZone").GetString()));
            Assert.Equal(6, data.GetProperty("totals").GetProperty("read").GetInt64());
            await service.RollUpAsync();
        }
    }

    [Fact]
    public async Task An_hour_is_whole_when_the_time_asked_for_touches_it()
    {
        var id = await Api.SendingAsync(5);
        await service.DeliverAsync();
        var ten = DateTimeOffset.Parse("2026-05-05T10:00:00Z", CultureInfo.InvariantCulture);
        foreach (var (user, at) in new[] { ten.AddMicroseconds(-1), ten, ten.AddMinutes(44), ten.AddHours(1).AddMicroseconds(-1), ten.AddHours(1) }.Select((at, i) => (i, at))) await ReadAsync(id, user, at);
        foreach (var (from, to, hours) in new[] { (ten, ten.AddHours(1), new[] { 3L }), (ten.AddMinutes(59), ten.AddMinutes(60).AddTicks(1), [3, 1]), (ten.AddTicks(-1), ten.AddTicks(1), [1, 3]) })
        {
            var data = (await Api.GetAsync($"/api/analytics/campaigns/{id}?period=hourly&startDate={from:O}&endDate={to:O}".Replace("+", "%2B", StringComparison.Ordinal))).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal(hours, data.GetProperty("timeSeries").EnumerateArray().Select(e => e.GetProperty("read").GetInt64()));
        }
    }

    private async Task ReadAsync(string campaign, int user, DateTimeOffset at) => await service.ExecuteAsync(
        "UPDATE feed_items SET read_at = $1 WHERE source_id = $2 AND user_id = $3", at.ToUniversalTime(), await service.BatchOfAsync(campaign), $"u{user:000000}");
}
