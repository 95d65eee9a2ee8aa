using System.Net;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Campaigns;

public sealed class ControlTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task After_the_answer_to_a_pause_nothing_is_delivered_and_resume_goes_on_where_it_stopped()
    {
        var id = await Api.DraftAsync(9_000);
        await Api.DoAsync(id, "send");
        await service.DeliverOneAsync();
        var held = (await service.ClaimAsync())!;

        var paused = await Api.DoAsync(id, "pause");
        Assert.Equal(("paused", 2_000), (paused.GetProperty("status").GetString(), paused.GetProperty("totals").GetProperty("delivered").GetInt32()));
        Assert.NotEqual(default, paused.GetProperty("pausedAt").GetDateTimeOffset());
        // A worker that had claimed a chunk finds it taken back, and there is none to claim.
        Assert.False((await service.ProcessAsync(held)).Closed);
        Assert.Null(await service.ClaimAsync());
        await service.DeliverAsync();
        Assert.Equal(2_000, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("delivered").GetInt32());

        var resumed = await Api.DoAsync(id, "resume");
        Assert.Equal(("sending", System.Text.Json.JsonValueKind.Null), (resumed.GetProperty("status").GetString(), resumed.GetProperty("pausedAt").ValueKind));
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task A_pause_waits_for_the_chunk_that_is_under_way()
    {
        var id = await Api.DraftAsync(4_100);
        await Api.DoAsync(id, "send");
        var chunk = (await service.ClaimAsync())!;
        // A worker in the middle of its transaction, which this test brings to its end by hand.
        await using var worker = await service.Db.OpenConnectionAsync();
        await using var transaction = await worker.BeginTransactionAsync();
        await using (var fence = new NpgsqlCommand("SELECT 1 FROM chunks WHERE lease_token = $1 FOR UPDATE", worker) { Parameters = { new() { Value = chunk.Token } } }) await fence.ExecuteScalarAsync();

        var pause = Api.PostAsync($"/api/campaigns/{id}/pause");
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
        Assert.False(pause.IsCompleted);
        await using (var close = new NpgsqlCommand("UPDATE chunks SET state = 4, base = 2, delivered = n, lease_token = NULL, lease_until = NULL WHERE lease_token = $1", worker) { Parameters = { new() { Value = chunk.Token } } })
        {
            Assert.Equal(1, await close.ExecuteNonQueryAsync());
        }
        await transaction.CommitAsync();
        Assert.Equal(2_000, (await pause).ShouldBe(HttpStatusCode.OK).Data.GetProperty("totals").GetProperty("delivered").GetInt32());
        Assert.Equal(2, await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state = 3", await service.BatchOfAsync(id)));
    }

    [Fact]
    public async Task Pausing_while_workers_deliver_at_full_speed_leaves_no_chunk_leased_and_no_delivery_after_it()
    {
        var id = await Api.DraftAsync(60_000);
        await Api.DoAsync(id, "send");
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        var batch = await service.BatchOfAsync(id);
        for (var round = 0; round < 4; round++)
        {
            var loops = Task.WhenAll(worker.DeliverAllAsync(CancellationToken.None), worker.DeliverAllAsync(CancellationToken.None));
            var closed = await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state = 4", batch);
            await Eventually.HoldsAsync(async () => loops.IsCompleted || await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state = 4", batch) > closed + 1);
            var answer = await Api.PostAsync($"/api/campaigns/{id}/pause");
            if (answer.Status == HttpStatusCode.Conflict) break;
            var delivered = answer.Data.GetProperty("totals").GetProperty("delivered").GetInt64();
            Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state IN (1, 2)", batch));
            await loops;
            Assert.Equal(delivered, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE source_id = $1", batch));
            await Api.DoAsync(id, "resume");
        }
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task Stop_skips_those_left_with_the_reason_and_retry_serves_exactly_them()
    {
        var id = await Api.DraftAsync(6_500, missing: 2);
        await Api.DoAsync(id, "send");
        await service.DeliverOneAsync();
        var stopped = await Api.DoAsync(id, "stop");
        var totals = stopped.GetProperty("totals");
        Assert.Equal(("stopped", 1_998, 4_502, 0), (stopped.GetProperty("status").GetString(), totals.GetProperty("delivered").GetInt32(), totals.GetProperty("skipped").GetInt32(), totals.GetProperty("pending").GetInt32()));
        Assert.NotEqual(default, stopped.GetProperty("completedAt").GetDateTimeOffset());
        await service.DeliverAsync();
        await service.ShouldBalanceAsync(id);
        var last = (await Api.GetAsync($"/api/campaigns/{id}/recipients/u006499")).Data.GetProperty("channels")[0];
        Assert.Equal(("skipped", "stopped"), (last.GetProperty("status").GetString(), last.GetProperty("reason").GetString()));

        (await Api.PostAsync($"/api/campaigns/{id}/retry-failed")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NOTHING_TO_RETRY");
        var again = await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
        Assert.Equal(("sending", 4_502), (again.GetProperty("status").GetString(), again.GetProperty("totals").GetProperty("pending").GetInt32()));
        await service.ShouldBalanceAsync(id);
        await service.DeliverAsync();
        // The two without a name are skipped again, for that reason.
        Assert.Equal("partially_failed", await Api.StatusAsync(id));
        Assert.Equal(2, (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=skipped")).Data.GetArrayLength());
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task A_campaign_stopped_before_it_started_skips_everybody()
    {
        var id = await Api.DraftAsync(10);
        await Api.DoAsync(id, "schedule", new { scheduledAt = "2099-01-01T00:00:00Z" });
        await service.ScalarAsync<string>("UPDATE campaigns SET scheduled_at = clock_timestamp() - interval '2 hours' WHERE id = $1 RETURNING id", id);
        await service.Services.GetRequiredService<CampaignService.Campaigns.DueCampaigns>().SweepAsync(CancellationToken.None);
        Assert.Equal("late", await Api.ReasonAsync(id));
        var stopped = await Api.DoAsync(id, "stop");
        Assert.Equal(10, stopped.GetProperty("totals").GetProperty("skipped").GetInt32());
        await service.DeliverAsync();
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task Retrying_what_was_set_aside_serves_it_and_the_outcome_is_told_anew()
    {
        var id = await Api.DraftAsync(2_500);
        await Api.DoAsync(id, "send");
        for (var death = 1; death <= LeaseRescuer.MaxStarts; death++)
        {
            Assert.Equal(0, (await service.ClaimAndBeginAsync())!.No);
            await service.ExpireLeasesAsync();
        }
        await service.DeliverAsync();
        Assert.Equal("partially_failed", await Api.StatusAsync(id));
        await service.ShouldBalanceAsync(id);
        Assert.Equal(2_000, (await Api.DoAsync(id, "retry-failed")).GetProperty("totals").GetProperty("pending").GetInt32());
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task What_was_skipped_for_a_disabled_channel_is_retried_only_once_that_is_enabled()
    {
        var (template, off, _) = await Api.NewTwoChannelTemplateAsync();
        var id = await Api.NewCampaignAsync(template);
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "a", "b" } });
        await Api.PutAsync($"/api/channels/{off}", new { enabled = false });
        await Api.DoAsync(id, "send");
        await service.DeliverAsync();
        (await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = new[] { "skipped" } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NOTHING_TO_RETRY");
        await Api.PutAsync($"/api/channels/{off}", new { enabled = true });
        await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
        await service.DeliverAsync();
        var totals = (await Api.CampaignAsync(id)).GetProperty("totals");
        Assert.Equal((4, 0), (totals.GetProperty("delivered").GetInt32(), totals.GetProperty("skipped").GetInt32()));
        Assert.Equal("completed", await Api.StatusAsync(id));
    }

    [Fact]
    public async Task Cancelled_after_nobody_could_be_sent_to_everybody_is_pending_again()
    {
        var id = await Api.DraftAsync(2_500, missing: 2_000);
        await Api.DoAsync(id, "send");
        await service.DeliverOneAsync();
        Assert.Equal(2_000, (await Api.DoAsync(id, "pause")).GetProperty("totals").GetProperty("skipped").GetInt32());
        Assert.Equal(2_500, (await Api.DoAsync(id, "cancel")).GetProperty("totals").GetProperty("pending").GetInt32());
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task A_campaign_that_is_resumed_begins_beside_the_others_of_its_app_and_not_behind_them()
    {
        var (resumed, other) = (await Api.DraftAsync(20_000), await Api.DraftAsync(20_000));
        await Api.DoAsync(resumed, "send");
        for (var i = 0; i < 8; i++) await service.DeliverOneAsync();
        await Api.DoAsync(resumed, "pause");
        await Api.DoAsync(other, "send");
        await Api.DoAsync(resumed, "resume");
        var order = new List<long>();
        for (var i = 0; i < 4; i++)
        {
            var chunk = (await service.ClaimAsync())!;
            order.Add(chunk.BatchId);
            await service.ProcessAsync(chunk);
        }
        Assert.Equal(2, order.Count(b => b != order[0]));
        await service.DeliverAsync();
    }

    [Fact]
    public async Task Cancelling_before_the_first_message_leaves_everybody_pending_and_nothing_to_claim()
    {
        var id = await Api.DraftAsync(2_500);
        await Api.DoAsync(id, "send");
        await Api.DoAsync(id, "pause");
        Assert.Equal(2_500, (await Api.DoAsync(id, "cancel")).GetProperty("totals").GetProperty("pending").GetInt32());
        Assert.Null(await service.ClaimAsync());
        await service.ShouldBalanceAsync(id);
    }

    [Theory]
    [InlineData("""{"include":[]}""")]
    [InlineData("""{"include":["delivered"]}""")]
    [InlineData("""{"include":"failed"}""")]
    public async Task A_retry_of_something_else_is_refused(string body)
    {
        var id = await Api.DraftAsync(1);
        var refused = (await Api.SendAsync(HttpMethod.Post, $"/api/campaigns/{id}/retry-failed", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.StartsWith("include", Assert.Single(refused.Details), StringComparison.Ordinal);
    }

    /// <summary>
    /// Whatever is done to a campaign in whatever order, its ledger balances after every step and is what the feeds hold. The model of it
    /// is the recount.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public async Task Any_sequence_of_verbs_deliveries_and_deaths_keeps_the_ledger_balanced(int seed)
    {
        var random = new Random(seed);
        var id = await Api.DraftAsync(4_100, missing: 3);
        await Api.DoAsync(id, "send");
        string[][] kinds = [["failed"], ["skipped"], ["failed", "skipped"], ["failed", "skipped", "uncertain"]];
        var steps = new List<string>();
        for (var step = 0; step < 25; step++)
        {
            // Cancelled it is over: that comes last, if at all.
            var act = step == 24 ? 8 : random.Next(8);
            steps.Add(act.ToString(System.Globalization.CultureInfo.InvariantCulture));
            switch (act)
            {
                case 0: await Api.PostAsync($"/api/campaigns/{id}/pause"); break;
                case 1: await Api.PostAsync($"/api/campaigns/{id}/resume"); break;
                case 2: await Api.PostAsync($"/api/campaigns/{id}/stop"); break;
                case 3 or 4: await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = kinds[random.Next(kinds.Length)] }); break;
                case 5: if (await service.ClaimAsync() is { } chunk) await service.ProcessAsync(chunk); break;
                case 8: await Api.PostAsync($"/api/campaigns/{id}/cancel"); break;
                case 6:
                    for (var death = random.Next(1, 4); death > 0 && await service.ClaimAndBeginAsync() is not null; death--) await service.ExpireLeasesAsync();
                    break;
                default: if (random.Next(3) == 0) await service.DeliverAsync(); break;
            }
            await service.Services.GetRequiredService<BatchFinisher>().SweepAsync(CancellationToken.None);
            try
            {
                await service.ShouldBalanceAsync(id);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"after the steps {string.Join(' ', steps)} of seed {seed}: {e.Message}", e);
            }
        }
    }
}
