using System.Globalization;
using System.Net;
using System.Text.Json;
using CampaignService.Campaigns;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>
/// The clock of the service's machine is wrong, seen from the database. No test can set the machine's clock, but a database can have its
/// own: a function clock_timestamp() in a schema that is searched before that of PostgreSQL.
/// </summary>
public sealed class ClockTests
{
    [Fact]
    public Task A_process_whose_clock_is_an_hour_wrong_starts_campaigns_by_the_clock_of_the_database() =>
        Task.WhenAll(StartsByTheDatabaseAsync(TimeSpan.FromHours(1)), StartsByTheDatabaseAsync(TimeSpan.FromHours(-1)));

    /// <summary>Wall clocks in New York: 01:59:59 is followed by 03:00:00 in spring and by 01:00:00 in autumn.</summary>
    [Theory]
    [InlineData("2060-03-14T01:59:59-05:00", "2060-03-14T03:00:00-04:00")]
    [InlineData("2060-11-07T01:59:59-04:00", "2060-11-07T01:00:00-05:00")]
    public async Task Campaigns_on_both_sides_of_a_change_of_the_clocks_start_a_second_apart(string before, string after)
    {
        var service = new TestService();
        await service.InitializeAsync();
        try
        {
            var (first, second) = (DateTimeOffset.Parse(before, CultureInfo.InvariantCulture), DateTimeOffset.Parse(after, CultureInfo.InvariantCulture));
            Assert.Equal(TimeSpan.FromSeconds(1), second - first);
            await SetClockAsync(service, first.AddMonths(-1));
            await service.Services.GetRequiredService<FeedPartitions>().CreateAsync(CancellationToken.None);
            var (early, late) = (await DraftAsync(service.Api), await DraftAsync(service.Api));
            await ScheduleAsync(service.Api, late, after);
            await ScheduleAsync(service.Api, early, before);

            foreach (var (now, one, two) in new[] { (first.AddSeconds(-10), "scheduled", "scheduled"), (first, "completed", "scheduled"), (second, "completed", "completed") })
            {
                await SetClockAsync(service, now);
                await service.Services.GetRequiredService<DueCampaigns>().SweepAsync(CancellationToken.None);
                await service.DeliverAsync();
                Assert.Equal((one, two), (await service.Api.StatusAsync(early), await service.Api.StatusAsync(late)));
            }
            Assert.Equal(4, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE id >= id_at($1)", first.ToUniversalTime()));
        }
        finally
        {
            await service.DisposeAsync();
        }
    }

    private static async Task StartsByTheDatabaseAsync(TimeSpan ahead)
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using (var db = NpgsqlDataSource.Create(connectionString)) await ShiftAsync(db, ahead, runs: true);
        using var process = await ServiceProcess.StartAsync(connectionString);
        var id = await DraftAsync(process.Api);
        // Far enough away that it is set before it comes, however busy the machine is.
        var due = Now + ahead + TimeSpan.FromSeconds(10);
        await ScheduleAsync(process.Api, id, due);

        JsonElement campaign = default;
        var completed = await Wait.UntilAsync(async () => (campaign = await process.Api.CampaignAsync(id)).GetProperty("status").GetString() == "completed", TimeSpan.FromSeconds(60));
        Assert.True(completed, campaign.ToString());
        var started = campaign.GetProperty("startedAt").GetDateTimeOffset();
        Assert.InRange(campaign.GetProperty("createdAt").GetDateTimeOffset(), due.AddMinutes(-1), due);
        Assert.InRange(started, due.AddMilliseconds(-1), due.AddMinutes(1));
        Assert.InRange(campaign.GetProperty("completedAt").GetDateTimeOffset(), started, due.AddMinutes(1));
    }

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    /// <summary>Stops the database's clock at this time. The service's runs on from there, so it is a little ahead and never behind.</summary>
    private static async Task SetClockAsync(TestService service, DateTimeOffset now)
    {
        await ShiftAsync(service.Db, now - DateTimeOffset.UnixEpoch, runs: false);
        // Connections from before the first time still look at PostgreSQL's own.
        service.Services.GetRequiredService<NpgsqlDataSource>().Clear();
        service.Services.GetRequiredKeyedService<NpgsqlDataSource>(DeliveryPool.Key).Clear();
        await service.Services.GetRequiredService<DatabaseClock>().MeasureAsync(CancellationToken.None);
    }

    private static async Task ShiftAsync(NpgsqlDataSource db, TimeSpan ahead, bool runs)
    {
        await using var shift = db.CreateCommand(string.Create(CultureInfo.InvariantCulture, $"""
            CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
              $$ SELECT {(runs ? "pg_catalog.clock_timestamp()" : "timestamptz 'epoch'")} + interval '{ahead.TotalSeconds:0.000} seconds' $$;
            DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$
            """));
        await shift.ExecuteNonQueryAsync();
    }

    private static async Task<string> DraftAsync(Api api)
    {
        var id = await api.NewCampaignAsync(variables: new { name = "all" });
        (await api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u1", "u2" } })).ShouldBe(HttpStatusCode.Created);
        return id;
    }

    private static async Task ScheduleAsync(Api api, string id, object at) =>
        (await api.PostAsync($"/api/campaigns/{id}/schedule", new { scheduledAt = at })).ShouldBe(HttpStatusCode.OK);
}
