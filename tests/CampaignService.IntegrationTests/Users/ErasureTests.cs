using System.Net;
using System.Text.Json;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Users;

/// <summary>A person can go without a trace, whatever is being sent, and no total moves.</summary>
public sealed class ErasureTests(TestService service) : IClassFixture<TestService>
{
    /// <summary>First, second, at both sides of a border between chunks, in the middle, alone in the last chunk.</summary>
    private static readonly string[] People = ["u000000", "u000001", "u001999", "u002000", "u003000", "u004000"];

    private Api Api => service.Api;

    [Theory]
    [InlineData("draft")]
    [InlineData("scheduled")]
    [InlineData("ready")]
    [InlineData("leased")]
    [InlineData("half done")]
    [InlineData("paused")]
    [InlineData("stopped")]
    [InlineData("completed")]
    [InlineData("failed")]
    [InlineData("retrying")]
    [InlineData("retried")]
    public async Task Erased_at_any_state_a_person_is_nowhere_and_totals_are_as_they_were(string state)
    {
        // Two lack the required name; the last chunk holds one person.
        var id = await Api.DraftAsync(4_001, missing: 2);
        await BringToAsync(id, state);
        foreach (var person in People) await EraseAsync(id, person);
        await ShouldHoldNothingOfAsync(People);
        await ShouldRecountAsync(id);

        // What is left goes on as if nothing had been, and nobody sends to those who are gone.
        if (state is "draft" or "scheduled") await Api.DoAsync(id, "send");
        if (state == "paused") await Api.DoAsync(id, "resume");
        await service.DeliverAsync();
        if (state == "leased") await service.ExpireLeasesAsync();
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal(0, campaign.GetProperty("totals").GetProperty("pending").GetInt64());
        Assert.NotEqual("sending", campaign.GetProperty("status").GetString());
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id LIKE ' %'"));
        await service.ShouldBalanceAsync(id);
        await ShouldRecountAsync(id);
        await ShouldHoldNothingOfAsync(People);
        await RetryAllAsync(id);
    }

    [Fact]
    public async Task On_two_channels_each_message_keeps_what_became_of_it()
    {
        var (template, off, _) = await Api.NewTwoChannelTemplateAsync();
        var id = await Api.NewCampaignAsync(template);
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = Enumerable.Range(0, 4_001).Select(i => $"w{i:000000}") });
        (await Api.PutAsync($"/api/channels/{off}", new { enabled = false })).ShouldBe(HttpStatusCode.OK);
        await Api.DoAsync(id, "send");
        await service.DeliverOneAsync();
        foreach (var person in new[] { "w000000", "w003999", "w004000", "w002000" }) await EraseAsync(id, person);
        await ShouldRecountAsync(id);
        var erased = (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit=4")).Data.EnumerateArray().ToList();
        Assert.All(erased, e => Assert.StartsWith(" erased-", e.GetProperty("userId").GetString(), StringComparison.Ordinal));
        var reasons = erased.SelectMany(e => e.GetProperty("channels").EnumerateArray()).GroupBy(c => c.GetProperty("reason").GetString() ?? c.GetProperty("status").GetString()!);
        Assert.Equal([("channel_disabled", 4), ("delivered", 1), ("erased", 3)], reasons.Select(r => (r.Key, r.Count())).Order());
        await service.DeliverAsync();
        await ShouldRecountAsync(id);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id LIKE ' %'"));
        await ShouldHoldNothingOfAsync("w000000", "w003999", "w004000", "w002000");
    }

    [Fact]
    public async Task The_list_shows_everybody_once_page_by_page_the_erased_first()
    {
        var id = await Api.SendingAsync(5);
        await service.DeliverAsync();
        foreach (var person in new[] { "u000004", "u000002" }) await EraseAsync(id, person);
        foreach (var limit in new[] { 1, 2, 3, 100 })
        {
            var seen = new List<string>();
            for (string? cursor = null; ;)
            {
                var page = (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit={limit}{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
                seen.AddRange(page.Data.EnumerateArray().Select(r => r.GetProperty("userId").GetString()!));
                cursor = page.Json.GetProperty("meta").GetProperty("next").GetString();
                if (cursor is null) break;
            }
            Assert.Equal(["u000000", "u000001", "u000003"], seen.Skip(2));
            Assert.All(seen.Take(2), erased => Assert.StartsWith(" erased-", erased, StringComparison.Ordinal));
            Assert.Equal(5, seen.Distinct().Count());
        }
    }

    [Fact]
    public async Task A_copy_of_a_campaign_has_everybody_but_the_erased()
    {
        var id = await Api.SendingAsync(3);
        await EraseAsync(id, "u000002");
        var copy = await Api.PostAsync($"/api/campaigns/{id}/duplicate");
        Assert.Equal(2, copy.ShouldBe(HttpStatusCode.Created).Data.GetProperty("totals").GetProperty("recipients").GetInt32());
        var all = (await Api.GetAsync($"/api/campaigns/{copy.Data.GetProperty("id").GetString()}/recipients")).Data.EnumerateArray().Select(r => r.GetProperty("userId").GetString());
        Assert.Equal(["u000000", "u000001"], all);
        await service.DeliverAsync();
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task A_copy_under_way_is_waited_for_and_erased_too()
    {
        var id = await Api.SendingAsync(3);
        var (batch, app) = (await service.BatchOfAsync(id), await service.ScalarAsync<int>("SELECT no FROM apps WHERE id = 'demo'"));
        await using var copier = await service.Db.OpenConnectionAsync();
        await using var transaction = await copier.BeginTransactionAsync();
        foreach (var sql in new[]
        {
            $"SELECT pg_advisory_xact_lock_shared({RecipientImport.CopyLock}, $2) WHERE $1 > 0",
            "WITH copy AS (INSERT INTO batches SELECT (jsonb_populate_record(b, jsonb_build_object('id', next_id(), 'state', 0))).* FROM batches b WHERE id = $1 AND app_no = $2 RETURNING id) INSERT INTO recipients SELECT copy.id, user_id, vars FROM recipients, copy WHERE batch_id = $1",
        })
        {
            await using var command = new NpgsqlCommand(sql, copier) { Parameters = { new() { Value = batch }, new() { Value = app } } };
            await command.ExecuteNonQueryAsync();
        }
        var erasure = Api.DeleteAsync("/api/users/u000001");
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
        Assert.False(erasure.IsCompleted);
        await transaction.CommitAsync();
        (await erasure).ShouldBe(HttpStatusCode.OK);
        await service.DeliverAsync();
        await ShouldHoldNothingOfAsync("u000001");
    }

    [Fact]
    public async Task If_they_were_the_last_the_campaign_ends_and_to_be_erased_is_no_failure()
    {
        var id = await Api.SendingAsync(1);
        await EraseAsync(id, "u000000");
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal(("completed", 1), (campaign.GetProperty("status").GetString(), campaign.GetProperty("totals").GetProperty("skipped").GetInt32()));
        var reason = Assert.Single((await Api.GetAsync($"/api/campaigns/{id}/recipients/summary")).Data.GetProperty("reasons").EnumerateArray());
        Assert.Equal(("skipped", "erased"), (reason.GetProperty("status").GetString(), reason.GetProperty("reason").GetString()));
        (await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = new[] { "skipped", "failed", "uncertain" } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NOTHING_TO_RETRY");
    }

    [Fact]
    public async Task A_worker_in_the_middle_of_the_chunk_is_waited_for_and_what_it_delivers_goes_too()
    {
        // Whoever has this id in campaigns of other tests is not to be counted.
        await Api.DeleteAsync("/api/users/u000001");
        var id = await Api.SendingAsync(3);
        var chunk = (await service.ClaimAsync())!;
        await using var worker = await service.Db.OpenConnectionAsync();
        await using (var transaction = await worker.BeginTransactionAsync())
        {
            await using (var fence = new NpgsqlCommand("SELECT 1 FROM chunks WHERE lease_token = $1 FOR UPDATE", worker) { Parameters = { new() { Value = chunk.Token } } }) await fence.ExecuteScalarAsync();
            var erasure = Api.DeleteAsync("/api/users/u000001");
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
            Assert.False(erasure.IsCompleted);
            foreach (var sql in new[]
            {
                "INSERT INTO feed_items (app_no, channel_no, id, source_id, user_id, vars) SELECT c.app_no, c.channel_no, next_id(), c.batch_id, r.user_id, r.vars FROM chunks c JOIN recipients r ON r.batch_id = c.batch_id WHERE lease_token = $1",
                "UPDATE chunks SET state = 4, base = 2, delivered = n, lease_token = NULL, lease_until = NULL, done_at = clock_timestamp() WHERE lease_token = $1",
            })
            {
                await using var write = new NpgsqlCommand(sql, worker) { Parameters = { new() { Value = chunk.Token } } };
                Assert.NotEqual(0, await write.ExecuteNonQueryAsync());
            }
            await transaction.CommitAsync();
            var removed = (await erasure).ShouldBe(HttpStatusCode.OK).Data.GetProperty("removed").EnumerateArray().ToDictionary(r => r.GetProperty("kind").GetString()!, r => r.GetProperty("count").GetInt64());
            Assert.Equal(1, removed["feedItems"]);
        }
        await service.DeliverAsync();
        Assert.Equal(3, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("delivered").GetInt32());
        await service.ShouldBalanceAsync(id);
        await ShouldHoldNothingOfAsync("u000001");
    }

    [Fact]
    public async Task A_chunk_that_is_leased_and_not_begun_is_delivered_without_the_erased()
    {
        var id = await Api.SendingAsync(2_001);
        var (first, second) = ((await service.ClaimAsync())!, (await service.ClaimAsync())!);
        foreach (var person in new[] { "u000000", "u001999", "u002000" }) await EraseAsync(id, person);
        Assert.True((await service.ProcessAsync(first)).Closed);
        // It held nobody else, and is gone.
        Assert.False((await service.ProcessAsync(second)).Closed);
        await service.DeliverAsync();
        var totals = (await Api.CampaignAsync(id)).GetProperty("totals");
        Assert.Equal((1_998, 3, "completed"), (totals.GetProperty("delivered").GetInt32(), totals.GetProperty("skipped").GetInt32(), await Api.StatusAsync(id)));
        await service.ShouldBalanceAsync(id);
    }

    [Fact]
    public async Task While_workers_deliver_at_full_speed_nobody_erased_gets_anything_and_nothing_breaks()
    {
        var id = await Api.SendingAsync(40_000);
        var worker = service.Services.GetRequiredService<DeliveryWorker>();
        var loops = Task.WhenAll(worker.DeliverAllAsync(CancellationToken.None), worker.DeliverAllAsync(CancellationToken.None));
        var erased = Enumerable.Range(0, 20).Select(i => $"u{i * 1_999 + 1:000000}").ToArray();
        foreach (var two in erased.Chunk(2)) await Task.WhenAll(two.Select(async person => (await Api.DeleteAsync($"/api/users/{person}")).ShouldBe(HttpStatusCode.OK)));
        await loops;
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        Assert.Equal(40_000, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("recipients").GetInt32());
        await service.ShouldBalanceAsync(id);
        await ShouldRecountAsync(id);
        await ShouldHoldNothingOfAsync(erased);
    }

    [Fact]
    public async Task Everything_held_on_a_person_is_exported_and_erased_with_counts_and_of_another_app_nothing()
    {
        var other = await service.NewAppAsync("other-app");
        await other.PostAsync("/api/users", new { id = "known" });
        var id = await Api.NewCampaignAsync(variables: new { city = "Ulm" });
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "known", "else" }, userVariables = new { known = new { name = "Secret Name" } } });
        await Api.DoAsync(id, "send");
        await service.DeliverAsync();
        var direct = (await Api.PostAsync("/api/notifications/messages", new
        {
            templateId = await Api.NewTemplateAsync(),
            receivers = new[] { "known", "else" },
            variables = new { known = new { name = "Secret Name" }, @else = new { name = "Else" } },
        })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("notificationId").GetString();
        var sent = await Api.PostAsync("/api/campaigns", new { name = "From", templateId = await Api.NewTemplateAsync(), senderId = "known" });
        await Api.PostAsync("/api/users", new { id = "known", email = "secret@example.com", attributes = new { note = "n" } });
        await Api.PostAsync("/api/users/known/devices", new { platform = "android", token = "the-token-of-known" });
        var items = (await service.As("known").GetAsync("/api/notification-feed")).Data;
        var (item, deleted) = (items[0].GetProperty("id").GetString(), items[1].GetProperty("id").GetString());
        (await service.As("known").DeleteAsync($"/api/notification-feed/{deleted}")).ShouldBe(HttpStatusCode.NoContent);
        (await service.As("known").PostAsync($"/api/notification-feed/{item}/read")).ShouldBe(HttpStatusCode.OK);

        var export = (await Api.GetAsync("/api/users/known/export")).ShouldBe(HttpStatusCode.OK);
        var records = export.Data.GetProperty("records");
        Assert.Equal("known", export.Data.GetProperty("userId").GetString());
        Assert.Equal("secret@example.com", records.GetProperty("profile")[0].GetProperty("email").GetString());
        Assert.Equal("android", records.GetProperty("devices")[0].GetProperty("platform").GetString());
        Assert.Equal("Secret Name", records.GetProperty("ledgerRows")[0].GetProperty("variables").GetProperty("name").GetString());
        Assert.Equal("delivered", records.GetProperty("ledgerRows")[0].GetProperty("messages")[0].GetProperty("status").GetString());
        Assert.Equal("Secret Name", Assert.Single(records.GetProperty("notifications").EnumerateArray()).GetProperty("values")[0].GetString());
        Assert.Equal([item, deleted], records.GetProperty("feedItems").EnumerateArray().Select(i => i.GetProperty("id").GetString()));
        Assert.Equal("Hello Secret Name", records.GetProperty("feedItems")[0].GetProperty("content").GetProperty("title").GetString());
        Assert.Equal(sent.Data.GetProperty("id").GetString(), records.GetProperty("sentCampaigns")[0].GetProperty("id").GetString());

        var receipts = (await Api.CampaignAsync(id)).GetProperty("receipts").ToString();
        var removed = (await Api.DeleteAsync("/api/users/known")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("removed").EnumerateArray();
        Assert.Equal([("devices", 1), ("events", 2), ("feedItems", 2), ("goneAddresses", 0), ("ledgerRows", 1), ("notifications", 1), ("profile", 1), ("sentCampaigns", 1)],
            removed.Select(r => (r.GetProperty("kind").GetString()!, r.GetProperty("count").GetInt32())).Order());
        Assert.Equal(receipts, (await Api.CampaignAsync(id)).GetProperty("receipts").ToString());
        Assert.Equal(2, (await Api.GetAsync($"/api/notifications/{direct}")).Data.GetProperty("totals").GetProperty("delivered").GetInt32());
        Assert.StartsWith(" erased-", (await Api.GetAsync($"/api/notifications/{direct}/recipients")).Data[0].GetProperty("userId").GetString(), StringComparison.Ordinal);
        foreach (var path in new[] { "/api/users/known", "/api/users/known/export", "/api/users/known/devices", $"/api/campaigns/{id}/recipients/known" }) (await Api.GetAsync(path)).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.DeleteAsync("/api/users/known")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.DoesNotContain("Secret Name", await EverythingAsync(), StringComparison.Ordinal);
        (await other.GetAsync("/api/users/known")).ShouldBe(HttpStatusCode.OK);

        // Who comes back is somebody new.
        await Api.PostAsync("/api/users", new { id = "known" });
        Assert.Equal(["profile"], (await Api.GetAsync("/api/users/known/export")).Data.GetProperty("records").EnumerateObject().Where(kind => kind.Value.GetArrayLength() > 0).Select(kind => kind.Name));
    }

    private async Task BringToAsync(string id, string state)
    {
        if (state == "draft") return;
        if (state == "scheduled")
        {
            await Api.DoAsync(id, "schedule", new { scheduledAt = "2999-01-01T00:00:00Z" });
            return;
        }
        await Api.DoAsync(id, "send");
        switch (state)
        {
            case "leased":
                Assert.NotNull(await service.ClaimAsync());
                break;
            case "half done":
                await service.DeliverOneAsync();
                break;
            case "paused":
                await service.DeliverOneAsync();
                await Api.DoAsync(id, "pause");
                break;
            case "stopped":
                await service.DeliverOneAsync();
                await Api.DoAsync(id, "stop");
                break;
            case "failed":
                for (var start = 0; start < 3; start++)
                {
                    while (await service.ClaimAndBeginAsync() is not null) { }
                    await service.ExpireLeasesAsync();
                }
                await service.DeliverAsync();
                break;
            case "completed":
                await service.DeliverAsync();
                break;
            case "retrying" or "retried":
                await service.DeliverOneAsync();
                await Api.DoAsync(id, "stop");
                await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
                if (state == "retried") await service.DeliverAsync();
                break;
        }
    }

    /// <summary>Erases somebody, and sees that totals are as they were, but that pending became skipped if sending had begun.</summary>
    private async Task EraseAsync(string id, string person)
    {
        var (before, wasCut) = (await TotalsAsync(id), await service.ScalarAsync<bool>("SELECT EXISTS (SELECT 1 FROM chunks WHERE batch_id = $1)", await service.BatchOfAsync(id)));
        var statuses = (await Api.GetAsync($"/api/campaigns/{id}/recipients/{person}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("channels").EnumerateArray().Select(c => c.GetProperty("status").GetString()).ToList();
        (await Api.DeleteAsync($"/api/users/{person}")).ShouldBe(HttpStatusCode.OK);
        var pending = wasCut ? statuses.Count(s => s == "pending") : 0;
        before["pending"] -= pending;
        before["skipped"] += pending;
        Assert.Equal(before, await TotalsAsync(id));
        (await Api.GetAsync($"/api/campaigns/{id}/recipients/{person}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    private async Task<SortedDictionary<string, long>> TotalsAsync(string id) => new((await Api.CampaignAsync(id)).GetProperty("totals").EnumerateObject()
        .Where(t => t.Value.ValueKind == JsonValueKind.Number && t.Name is "recipients" or "messages" or "pending" or "delivered" or "failed" or "skipped" or "uncertain").ToDictionary(t => t.Name, t => t.Value.GetInt64()));

    /// <summary>Whoever else can be retried is, and nobody who is gone comes back.</summary>
    private async Task RetryAllAsync(string id)
    {
        var erased = await service.ScalarAsync<string>("SELECT string_agg(c::text, E'\\n' ORDER BY c::text) FROM chunks c WHERE first_user LIKE ' %'");
        await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = new[] { "skipped", "failed" } });
        await service.DeliverAsync();
        await ShouldRecountAsync(id);
        await service.ShouldBalanceAsync(id);
        Assert.Equal(erased, await service.ScalarAsync<string>("SELECT string_agg(c::text, E'\\n' ORDER BY c::text) FROM chunks c WHERE first_user LIKE ' %'"));
    }

    /// <summary>Chunk by chunk, the counters are what a count of its people comes to.</summary>
    private async Task ShouldRecountAsync(string id) => Assert.Equal("", await service.ScalarAsync<string>($"""
        SELECT coalesce(string_agg(c::text || counted::text, E'\n'), '') FROM chunks c
        CROSS JOIN LATERAL (
          SELECT count(*)::int AS n, count(*) FILTER (WHERE s = 2)::int AS delivered, count(*) FILTER (WHERE s = 3)::int AS failed, count(*) FILTER (WHERE s = 4)::int AS skipped,
            count(*) FILTER (WHERE s = 5)::int AS uncertain, count(*) FILTER (WHERE of_rest)::int AS rest_n, min(user_id) AS first_user, max(user_id) AS last_user
          FROM (
            SELECT r.user_id, CASE WHEN e.user_id IS NULL THEN coalesce(c.base, c.rest, 1) WHEN {ChunkControl.Reopened} THEN 1 ELSE e.status END AS s,
              e.user_id IS NULL AND c.base IS NULL AND c.rest IS NOT NULL AS of_rest
            FROM recipients r LEFT JOIN recipient_exceptions e ON e.batch_id = r.batch_id AND e.channel_no = c.channel_no AND e.user_id = r.user_id
            WHERE r.batch_id = c.batch_id AND r.user_id BETWEEN c.first_user AND c.last_user) AS people) AS counted
        WHERE c.batch_id = $1 AND (c.n, c.delivered, c.failed, c.skipped, c.uncertain, c.rest_n, c.first_user, c.last_user)
          IS DISTINCT FROM (counted.n, counted.delivered, counted.failed, counted.skipped, counted.uncertain, counted.rest_n, counted.first_user, counted.last_user)
        """, await service.BatchOfAsync(id)));

    private async Task ShouldHoldNothingOfAsync(params string[] people)
    {
        var everything = await EverythingAsync();
        Assert.All(people, person => Assert.DoesNotContain(person, everything, StringComparison.Ordinal));
    }

    /// <summary>Every row of every table.</summary>
    private async Task<string> EverythingAsync()
    {
        var tables = await service.ScalarAsync<string[]>("SELECT array_agg(table_name::text) FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'");
        var rows = new List<string>();
        foreach (var table in tables) rows.Add(await service.ScalarAsync<string>($"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM \"{table}\" t"));
        return string.Join('\n', rows);
    }
}
