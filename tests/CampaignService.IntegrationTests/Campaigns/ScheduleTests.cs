using System.Globalization;
using System.Net;
using CampaignService.Campaigns;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Campaigns;

/// <summary>What is due and when, without waiting for it: the tests move the campaign's times instead, and call a turn of the sweep.</summary>
public sealed class ScheduleTests(TestService service) : IClassFixture<TestService>
{
    private const string Far = "2099-06-01T12:00:00Z", Farther = "2099-06-02T12:00:00Z";

    private Api Api => service.Api;

    [Fact]
    public async Task A_scheduled_campaign_starts_at_its_time_and_not_before()
    {
        var id = await Api.DraftAsync(3);
        var scheduled = await Api.DoAsync(id, "send", new { scheduledAt = Far });
        Assert.Equal(("scheduled", "2099-06-01T12:00:00.000Z"), (scheduled.GetProperty("status").GetString(), scheduled.GetProperty("scheduledAt").GetString()));
        await SweepAsync();
        Assert.Equal("scheduled", await Api.StatusAsync(id));
        await MoveAsync(id, "scheduled_at", "-1 second");
        await SweepAsync();
        Assert.Equal("sending", await Api.StatusAsync(id));
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task Many_sweeps_at_once_start_it_once()
    {
        var id = await Api.DraftAsync(3);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far });
        await MoveAsync(id, "scheduled_at", "-1 second");
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => SweepAsync()));
        await service.DeliverAsync();
        await service.ShouldBalanceAsync(id);
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task A_schedule_that_somebody_holds_for_long_is_a_conflict_and_no_fault()
    {
        var id = await service.Api.DraftAsync(1);
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new Npgsql.NpgsqlCommand("LOCK TABLE qrtz_locks IN ACCESS EXCLUSIVE MODE", connection)) await hold.ExecuteNonQueryAsync();
        (await service.Api.PostAsync($"/api/campaigns/{id}/schedule", new { scheduledAt = "2999-01-01T00:00:00Z" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        Assert.Equal("draft", await service.Api.StatusAsync(id));
    }

    [Theory]
    [InlineData("2099-03-08T09:30:00+05:30", "2099-03-08T04:00:00.000Z", "+05:30")]
    [InlineData("2099-03-08T09:30:00-09:30", "2099-03-08T19:00:00.000Z", "-09:30")]
    [InlineData("2099-03-08T09:30:00Z", "2099-03-08T09:30:00.000Z", "Z")]
    // Both sides of the gap of spring and of the repeated hour of autumn in New York: what counts is the offset given.
    [InlineData("2099-03-08T01:59:59-05:00", "2099-03-08T06:59:59.000Z", "-05:00")]
    [InlineData("2099-03-08T03:00:00-04:00", "2099-03-08T07:00:00.000Z", "-04:00")]
    [InlineData("2099-03-08T02:30:00-05:00", "2099-03-08T07:30:00.000Z", "-05:00")]
    [InlineData("2099-11-01T01:30:00-04:00", "2099-11-01T05:30:00.000Z", "-04:00")]
    [InlineData("2099-11-01T01:30:00-05:00", "2099-11-01T06:30:00.000Z", "-05:00")]
    public async Task A_schedule_states_the_zone_it_was_given_in_and_is_shown_in_UTC(string given, string shown, string zone)
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "schedule", new { scheduledAt = given });
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal((shown, zone), (campaign.GetProperty("scheduledAt").GetString(), campaign.GetProperty("scheduleZone").GetString()));
        Assert.Equal(DateTimeOffset.Parse(given, CultureInfo.InvariantCulture).UtcDateTime, await service.ScalarAsync<DateTime>("SELECT scheduled_at FROM campaigns WHERE id = $1", id));
    }

    [Fact]
    public async Task Unix_seconds_are_a_time_too()
    {
        var id = await Api.DraftAsync(1);
        Assert.Equal("2099-06-01T12:00:00.000Z", (await Api.DoAsync(id, "schedule", new { scheduledAt = 4083998400 })).GetProperty("scheduledAt").GetString());
    }

    [Theory]
    [InlineData("schedule", """{}""", "scheduledAt")]
    [InlineData("schedule", """{"scheduledAt":null}""", "scheduledAt")]
    [InlineData("schedule", """{"scheduledAt":"2020-01-01T00:00:00Z"}""", "scheduledAt")]
    [InlineData("schedule", """{"scheduledAt":"2099-01-01T00:00:00"}""", "scheduledAt")]
    [InlineData("schedule", """{"scheduledAt":"tomorrow"}""", "scheduledAt")]
    [InlineData("schedule", """{"scheduledAt":"2099-01-02T00:00:00Z","stopAt":"2099-01-01T00:00:00Z"}""", "stopAt")]
    [InlineData("schedule", """{"scheduledAt":"2099-01-02T00:00:00Z","stopAt":"2099-01-02T00:00:00Z"}""", "stopAt")]
    [InlineData("send", """{"scheduledAt":"2020-01-01T00:00:00Z"}""", "scheduledAt")]
    [InlineData("send", """{"stopAt":"2020-01-01T00:00:00Z"}""", "stopAt")]
    [InlineData("send", """{"scheduledAt":"2020-01-01T00:00:00Z","stopAt":"x"}""", "scheduledAt,stopAt")]
    public async Task Times_in_the_past_or_of_no_zone_are_refused(string verb, string body, string fields)
    {
        var id = await Api.DraftAsync(1);
        var refused = (await Api.SendAsync(HttpMethod.Post, $"/api/campaigns/{id}/{verb}", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        // A body with a value of the wrong type is read no further than that.
        Assert.Subset(fields.Split(',').ToHashSet(), refused.Details.Select(d => d.Split(':')[0]).ToHashSet());
        Assert.NotEmpty(refused.Details);
        Assert.Equal("draft", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task What_cannot_be_sent_cannot_be_scheduled()
    {
        (await Api.PostAsync($"/api/campaigns/{await Api.NewCampaignAsync()}/schedule", new { scheduledAt = Far })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NO_RECIPIENTS");
        var id = await Api.NewCampaignAsync(await Api.NewTemplateAsync(status: "draft"), new { name = "all" });
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u" } });
        (await Api.PostAsync($"/api/campaigns/{id}/send", new { scheduledAt = Far })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_TEMPLATE_NOT_APPROVED");
        Assert.Equal("draft", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task Scheduling_again_moves_it_and_send_now_overrides_it()
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far, stopAt = Farther });
        var moved = await Api.DoAsync(id, "schedule", new { scheduledAt = "2099-06-01T13:00:00+01:00" });
        Assert.Equal(("2099-06-01T12:00:00.000Z", "2099-06-02T12:00:00.000Z", "+01:00"), (moved.GetProperty("scheduledAt").GetString(), moved.GetProperty("stopAt").GetString(), moved.GetProperty("scheduleZone").GetString()));
        var sent = await Api.DoAsync(id, "send", "{}");
        Assert.Equal(("sending", null, "2099-06-02T12:00:00.000Z"), (sent.GetProperty("status").GetString(), sent.GetProperty("scheduledAt").GetString(), sent.GetProperty("stopAt").GetString()));
        await SweepAsync();
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task A_stopAt_that_was_kept_must_still_be_after_a_new_start_and_null_takes_it_away()
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far, stopAt = Farther });
        (await Api.PostAsync($"/api/campaigns/{id}/schedule", new { scheduledAt = "2099-07-01T00:00:00Z" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        var moved = await Api.DoAsync(id, "schedule", """{"scheduledAt":"2099-07-01T00:00:00Z","stopAt":null}""");
        Assert.Null(moved.GetProperty("stopAt").GetString());
    }

    [Fact]
    public async Task Unscheduled_it_is_a_draft_again_and_does_not_start()
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far });
        var draft = await Api.DoAsync(id, "unschedule");
        Assert.Equal(("draft", null, null), (draft.GetProperty("status").GetString(), draft.GetProperty("scheduledAt").GetString(), draft.GetProperty("scheduleZone").GetString()));
        await service.Services.GetRequiredService<DueCampaigns>().RunAsync(id, CancellationToken.None);
        Assert.Equal("draft", await Api.StatusAsync(id));
        (await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "more" } })).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task One_that_is_called_early_by_a_wrong_clock_waits_for_the_databases()
    {
        var id = await Api.DraftAsync(1);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far });
        await service.Services.GetRequiredService<DueCampaigns>().RunAsync(id, CancellationToken.None);
        Assert.Equal("scheduled", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task Found_later_than_the_limit_it_is_paused_and_starts_only_when_resumed()
    {
        var (late, justInTime) = (await Api.DraftAsync(2), await Api.DraftAsync(2));
        foreach (var id in new[] { late, justInTime }) await Api.DoAsync(id, "schedule", new { scheduledAt = Far });
        await MoveAsync(late, "scheduled_at", "-61 minutes");
        await MoveAsync(justInTime, "scheduled_at", "-59 minutes");
        await SweepAsync();
        Assert.Equal(("paused", "late"), (await Api.StatusAsync(late), await Api.ReasonAsync(late)));
        Assert.Equal("sending", await Api.StatusAsync(justInTime));
        await service.DeliverAsync();
        Assert.Equal("paused", await Api.StatusAsync(late));
        await Api.DoAsync(late, "resume");
        Assert.Null(await Api.ReasonAsync(late));
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(late));
        await service.ShouldBalanceAsync(late);
    }

    [Fact]
    public async Task One_whose_stopAt_has_passed_before_it_could_start_is_not_started()
    {
        var id = await Api.DraftAsync(2);
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far, stopAt = Farther });
        await MoveAsync(id, "scheduled_at", "-20 minutes");
        await MoveAsync(id, "stop_at", "-10 minutes");
        await SweepAsync();
        Assert.Equal("late", await Api.ReasonAsync(id));
        (await Api.PostAsync($"/api/campaigns/{id}/resume")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
        await SweepAsync();
        // It waits for somebody: what is paused is not stopped behind their back either.
        Assert.Equal("paused", await Api.StatusAsync(id));
        Assert.Null((await Api.DoAsync(id, "stop")).GetProperty("startedAt").GetString());
    }

    [Fact]
    public async Task At_its_stopAt_a_campaign_is_stopped_and_those_left_are_skipped()
    {
        var id = await Api.DraftAsync(4_500);
        await Api.DoAsync(id, "send", new { stopAt = Far });
        await service.DeliverOneAsync();
        await SweepAsync();
        Assert.Equal("sending", await Api.StatusAsync(id));
        await MoveAsync(id, "stop_at", "-1 second");
        await SweepAsync();
        var stopped = await Api.CampaignAsync(id);
        Assert.Equal(("stopped", 2_500), (stopped.GetProperty("status").GetString(), stopped.GetProperty("totals").GetProperty("skipped").GetInt32()));
        Assert.NotNull(stopped.GetProperty("completedAt").GetString());
        await service.DeliverAsync();
        await service.ShouldBalanceAsync(id);
        // A retry is asked for by somebody, after the limit: it is for the retry to end.
        var again = await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
        Assert.Null(again.GetProperty("stopAt").GetString());
        Assert.True(await service.ScalarAsync<bool>("SELECT stop_at IS NULL FROM batches WHERE id = $1", await service.BatchOfAsync(id)));
        await SweepAsync();
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task What_cannot_be_sent_at_its_time_is_paused_with_the_reason_and_goes_on_when_mended()
    {
        var channel = (await Api.PostAsync("/api/channels", new { name = $"Once {Guid.NewGuid():N}", type = "in_app" })).Data.GetProperty("channelId").GetString();
        var template = (await Api.PostAsync("/api/templates", new { name = "t", status = "approved", channels = new[] { new { channelType = "in_app", channelId = channel, content = new { a = 1 } } } })).Data.GetProperty("templateId").GetString();
        var id = await Api.NewCampaignAsync(template);
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u" } });
        await Api.DoAsync(id, "schedule", new { scheduledAt = Far });
        await Api.PutAsync($"/api/channels/{channel}", new { enabled = false });
        await MoveAsync(id, "scheduled_at", "-1 second");
        await SweepAsync();
        Assert.Equal("not_sendable", await Api.ReasonAsync(id));
        (await Api.PostAsync($"/api/campaigns/{id}/resume")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NO_ENABLED_CHANNEL");
        await Api.PutAsync($"/api/channels/{channel}", new { enabled = true });
        await Api.DoAsync(id, "resume");
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    private Task SweepAsync() => service.Services.GetRequiredService<DueCampaigns>().SweepAsync(CancellationToken.None);

    private async Task MoveAsync(string id, string column, string by) =>
        Assert.Equal(id, await service.ScalarAsync<string>($"UPDATE campaigns SET {column} = clock_timestamp() + $2::interval WHERE id = $1 RETURNING id", id, TimeSpan.Zero + Parse(by)));

    private static TimeSpan Parse(string by)
    {
        var (number, unit) = (double.Parse(by.Split(' ')[0], CultureInfo.InvariantCulture), by.Split(' ')[1]);
        return unit.StartsWith("minute", StringComparison.Ordinal) ? TimeSpan.FromMinutes(number) : TimeSpan.FromSeconds(number);
    }
}
