using System.Net;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Delivery;

public sealed class DeliveryTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task Every_recipient_gets_exactly_one_item_and_the_campaign_completes()
    {
        var id = await Api.SendingAsync(4_500);
        await service.DeliverAsync();
        await ShouldHaveServedEverybodyOnceAsync(id, 4_500);
        Assert.Equal("completed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Many_workers_at_once_deliver_each_chunk_once()
    {
        var ids = new[] { await Api.SendingAsync(9_000), await Api.SendingAsync(9_000) };
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => worker.DeliverAllAsync(CancellationToken.None)));
        foreach (var id in ids) await ShouldHaveServedEverybodyOnceAsync(id, 9_000);
    }

    [Fact]
    public async Task The_last_of_several_workers_ends_the_campaign_without_a_sweep()
    {
        var id = await Api.SendingAsync(9_000);
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => worker.DeliverAllAsync(CancellationToken.None)));
        Assert.Equal("completed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task The_ledger_balances_at_every_moment_of_sending()
    {
        var id = await Api.SendingAsync(20_000, missing: 5);
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        var sending = Task.WhenAll(worker.DeliverAllAsync(CancellationToken.None), worker.DeliverAllAsync(CancellationToken.None));
        var seen = 0;
        do
        {
            var totals = (await Api.CampaignAsync(id)).GetProperty("totals");
            Assert.Equal(20_000, totals.GetProperty("messages").GetInt64());
            Assert.Equal(20_000, new[] { "pending", "delivered", "failed", "skipped", "uncertain" }.Sum(s => totals.GetProperty(s).GetInt64()));
            seen++;
        }
        while (!sending.IsCompleted);
        await sending;
        Assert.True(seen > 1);
    }

    [Fact]
    public async Task A_poison_recipient_is_skipped_with_its_reason_and_holds_nobody_up()
    {
        var id = await Api.SendingAsync(2_500, missing: 3);
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal("partially_failed", campaign.GetProperty("status").GetString());
        Assert.Equal(2_497, campaign.GetProperty("totals").GetProperty("delivered").GetInt64());

        var skipped = (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=skipped")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(["u000000", "u000001", "u000002"], skipped.Data.EnumerateArray().Select(r => r.GetProperty("userId").GetString()));
        var message = skipped.Data[0].GetProperty("channels")[0];
        Assert.Equal("missing_variable", message.GetProperty("reason").GetString());
        Assert.Equal("name", message.GetProperty("detail").GetString());
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE source_id = $1 AND user_id = 'u000000'", await service.BatchOfAsync(id)));

        var reason = (await Api.GetAsync($"/api/campaigns/{id}/recipients/summary")).Data.GetProperty("reasons")[0];
        Assert.Equal(("skipped", "missing_variable", 3), (reason.GetProperty("status").GetString(), reason.GetProperty("reason").GetString(), reason.GetProperty("count").GetInt32()));
    }

    [Fact]
    public async Task When_nobody_can_be_served_the_campaign_failed()
    {
        var id = await Api.SendingAsync(3, missing: 3);
        await service.DeliverAsync();
        Assert.Equal("failed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_image_from_a_cell_that_is_no_image_is_skipped_with_the_reason()
    {
        var template = await Api.NewTemplateAsync(new { title = "Look", picture = "{{photo}}" }, [new { key = "photo", type = "image" }]);
        var id = await Api.NewCampaignAsync(template);
        (await Api.UploadAsync(id, "user_id,photo\na,\"{\"\"url\"\":\"\"https://x.test/a.png\"\",\"\"width\"\":1,\"\"height\"\":2}\"\nb,not an image\nc,\n")).ShouldBe(HttpStatusCode.OK);
        await Api.DoAsync(id, "send");
        await service.DeliverAsync();
        var entry = (await Api.GetAsync($"/api/campaigns/{id}/recipients/b")).Data;
        Assert.Equal("skipped", entry.GetProperty("status").GetString());
        Assert.Equal("invalid_variable", entry.GetProperty("channels")[0].GetProperty("reason").GetString());
        Assert.StartsWith("photo", entry.GetProperty("channels")[0].GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Equal(2, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("delivered").GetInt32());
    }

    [Fact]
    public async Task A_chunk_whose_worker_died_is_taken_over_and_nobody_gets_it_twice()
    {
        var id = await Api.SendingAsync(2_500);
        var died = await service.ClaimAsync();
        Assert.NotNull(died);
        await service.DeliverAsync();
        Assert.Equal("sending", (await Api.CampaignAsync(id)).GetProperty("status").GetString());

        await service.ExpireLeasesAsync();
        await service.DeliverAsync();
        await service.DeliverAsync();
        await ShouldHaveServedEverybodyOnceAsync(id, 2_500);
        Assert.Equal("completed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());

        // The first worker was only slow and comes back: its token is no longer the chunk's.
        Assert.False((await service.ProcessAsync(died)).Closed);
        await ShouldHaveServedEverybodyOnceAsync(id, 2_500);
    }

    [Fact]
    public async Task A_chunk_that_kills_three_workers_is_set_aside_and_the_campaign_still_ends()
    {
        var id = await Api.SendingAsync(2_500);
        var batch = await service.BatchOfAsync(id);
        var queue = service.Services.GetRequiredService<ChunkQueue>();
        for (var death = 1; death <= LeaseRescuer.MaxStarts; death++)
        {
            var claim = await service.ClaimAsync();
            Assert.Equal((0, death == LeaseRescuer.MaxStarts), (claim!.No, claim.IsSuspect));
            if (claim.IsSuspect)
            {
                // Waiting to be alone is no start: a death then was not of this chunk's making.
                await service.ExpireLeasesAsync();
                claim = await service.ClaimAsync();
                Assert.True(await queue.BeginAloneAsync(claim!, CancellationToken.None));
            }
            await service.ExpireLeasesAsync();
        }
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal("partially_failed", campaign.GetProperty("status").GetString());
        Assert.Equal((500, 2_000), (campaign.GetProperty("totals").GetProperty("delivered").GetInt32(), campaign.GetProperty("totals").GetProperty("failed").GetInt32()));
        var failed = (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=failed&limit=1")).Data[0];
        Assert.Equal("worker_died", failed.GetProperty("channels")[0].GetProperty("reason").GetString());
        Assert.Equal(500, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE source_id = $1", batch));
    }

    [Fact]
    public async Task A_death_between_the_last_chunk_and_the_end_is_made_good_by_the_sweep()
    {
        var id = await Api.SendingAsync(10);
        var chunk = await service.ClaimAsync();
        await service.ProcessAsync(chunk!);
        Assert.Equal("sending", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
        await service.Services.GetRequiredService<BatchFinisher>().SweepAsync(CancellationToken.None);
        Assert.Equal("completed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Recipients_on_a_disabled_channel_are_reported_and_the_others_are_served()
    {
        var (template, off, _) = await Api.NewTwoChannelTemplateAsync();
        var id = await Api.NewCampaignAsync(template);
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "a", "b", "c" } });
        (await Api.PutAsync($"/api/channels/{off}", new { enabled = false })).ShouldBe(HttpStatusCode.OK);
        await Api.DoAsync(id, "send");
        await service.DeliverAsync();

        var campaign = await Api.CampaignAsync(id);
        Assert.Equal("partially_failed", campaign.GetProperty("status").GetString());
        var totals = campaign.GetProperty("totals");
        Assert.Equal((3, 6, 3, 3), (totals.GetProperty("recipients").GetInt32(), totals.GetProperty("messages").GetInt32(), totals.GetProperty("delivered").GetInt32(), totals.GetProperty("skipped").GetInt32()));
        var person = (await Api.GetAsync($"/api/campaigns/{id}/recipients/b")).Data;
        Assert.Equal("delivered", person.GetProperty("status").GetString());
        var skipped = person.GetProperty("channels").EnumerateArray().Single(c => c.GetProperty("channelId").GetString() == off);
        Assert.Equal("channel_disabled", skipped.GetProperty("reason").GetString());
        Assert.Equal(3, (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=skipped&channelId={off}")).Data.GetArrayLength());
        Assert.Equal(0, (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=skipped")).Data.GetArrayLength());
    }

    [Fact]
    public async Task A_realtime_campaign_goes_ahead_of_bulk_and_a_new_campaign_does_not_queue_up_behind_old_ones()
    {
        var old = await Api.SendingAsync(6_100);
        var young = await Api.SendingAsync(2_100);
        var urgent = await Api.NewCampaignAsync(variables: new { name = "all" }, deliveryMode: "realtime");
        await Api.PostAsync($"/api/campaigns/{urgent}/recipients", new { userIds = new[] { "x" } });
        await Api.DoAsync(urgent, "send");

        var order = new List<long>();
        while (await service.ClaimAsync() is { } claim) order.Add(claim.BatchId);
        // Every fourth claim looks for bulk first, so that a flood of direct sends cannot bring that to a stop.
        Assert.Contains(await service.BatchOfAsync(urgent), order.Take(2));
        Assert.Contains(await service.BatchOfAsync(young), order.Take(3));
        Assert.Equal(7, order.Count);
        await service.ExpireLeasesAsync();
        await service.DeliverAsync();
        await ShouldHaveServedEverybodyOnceAsync(old, 6_100);
    }

    [Fact]
    public async Task A_realtime_campaign_for_more_than_ten_is_refused()
    {
        var id = await Api.NewCampaignAsync(variables: new { name = "all" }, deliveryMode: "realtime");
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = Enumerable.Range(0, 11).Select(i => $"u{i}") });
        (await Api.PostAsync($"/api/campaigns/{id}/send")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task Every_row_of_a_file_is_read_in_its_users_feed_with_its_own_text()
    {
        var id = await Api.SendingAsync(250);
        await service.DeliverAsync();
        for (var i = 0; i < 250; i++) await ShouldReadAsync(id, i);
    }

    [Fact]
    public async Task A_hundred_thousand_rows_arrive_in_a_hundred_thousand_feeds()
    {
        var id = await Api.SendingAsync(100_000);
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        await Task.WhenAll(worker.DeliverAllAsync(CancellationToken.None), worker.DeliverAllAsync(CancellationToken.None));
        await ShouldHaveServedEverybodyOnceAsync(id, 100_000);
        Assert.Equal("completed", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
        for (var i = 0; i < 100_000; i += 1999) await ShouldReadAsync(id, i);
    }

    [Fact]
    public async Task Work_goes_on_while_somebody_holds_the_batch()
    {
        var id = await Api.SendingAsync(6_000);
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using var hold = new Npgsql.NpgsqlCommand("SELECT 1 FROM batches WHERE id = $1 FOR UPDATE", connection) { Parameters = { new() { Value = await service.BatchOfAsync(id) } } };
        await hold.ExecuteScalarAsync();
        var chunk = await service.ClaimAsync();
        Assert.NotNull((await service.ProcessAsync(chunk!, claimNext: true)).Next);
        Assert.False(await service.Services.GetRequiredService<BatchFinisher>().TryFinishAsync(chunk!.BatchId, CancellationToken.None));
        await transaction.RollbackAsync();
        await service.ExpireLeasesAsync();
        await service.DeliverAsync();
    }

    private async Task ShouldReadAsync(string campaign, int recipient)
    {
        var feed = (await service.As($"u{recipient:000000}").GetAsync("/api/notification-feed?limit=100")).ShouldBe(HttpStatusCode.OK).Data;
        var content = feed.EnumerateArray().Single(i => i.GetProperty("campaignId").GetString() == campaign).GetProperty("content");
        Assert.Equal(($"Hello Name {recipient}", $"How is Town {recipient}?"), (content.GetProperty("title").GetString(), content.GetProperty("body").GetString()));
    }

    private async Task ShouldHaveServedEverybodyOnceAsync(string id, int recipients)
    {
        var batch = await service.BatchOfAsync(id);
        Assert.Equal(recipients, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE source_id = $1", batch));
        // As many items as there should be, and each is a recipient's of its own with that one's values. EXCEPT is hashed or sorted whatever the statistics say.
        Assert.Equal(0, await service.ScalarAsync<long>(
            "SELECT count(*) FROM (SELECT user_id, vars FROM feed_items WHERE source_id = $1 EXCEPT ALL SELECT user_id, vars FROM recipients WHERE batch_id = $1) strange", batch));
        var totals = (await Api.CampaignAsync(id)).GetProperty("totals");
        Assert.Equal((recipients, 0), (totals.GetProperty("delivered").GetInt32(), totals.GetProperty("pending").GetInt32()));
    }
}
