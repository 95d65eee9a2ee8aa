using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using CampaignService.Users;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Users;

public sealed class UserTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task A_user_is_made_known_and_changed_members_left_out_stay_and_null_clears()
    {
        var made = (await Api.PostAsync("/api/users", new
        {
            id = "  full ",
            name = " Ann Example ",
            role = "customer",
            email = "ann@example.com",
            phone = "+49 (30) 123-45",
            language = "pt-BR",
            timezone = "Europe/Berlin",
            avatar = "https://example.com/a.png",
            attributes = new { plan = "gold", since = 2020 },
        })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal("full", made.GetProperty("id").GetString());
        Assert.Equal("Ann Example", made.GetProperty("name").GetString());
        Assert.Equal("offline", made.GetProperty("status").GetString());
        Assert.Equal("gold", made.GetProperty("attributes").GetProperty("plan").GetString());

        await Api.PostAsync("/api/users", """{"id": "full", "name": null, "email": "new@example.com"}""");
        var changed = (await Api.GetAsync("/api/users/full")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(JsonValueKind.Null, changed.GetProperty("name").ValueKind);
        Assert.Equal(("new@example.com", "customer", "pt-BR"), (changed.GetProperty("email").GetString(), changed.GetProperty("role").GetString(), changed.GetProperty("language").GetString()));
        Assert.Equal(made.GetProperty("createdAt").GetDateTimeOffset(), changed.GetProperty("createdAt").GetDateTimeOffset());
        Assert.Equal(2020, changed.GetProperty("attributes").GetProperty("since").GetInt32());
    }

    [Fact]
    public async Task A_patch_changes_what_it_gives_and_nobody_unknown()
    {
        await Api.PostAsync("/api/users", new { id = "patched", name = "Before", role = "a" });
        var patched = (await Api.PatchAsync("/api/users/patched", """{"name": "After", "attributes": {"a": [1]}}""")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("After", "a"), (patched.GetProperty("name").GetString(), patched.GetProperty("role").GetString()));
        (await Api.PatchAsync("/api/users/patched", """{"role": null}""")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(JsonValueKind.Null, (await Api.GetAsync("/api/users/patched")).Data.GetProperty("role").ValueKind);
        (await Api.PatchAsync("/api/users/nobody", new { name = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.StartsWith("email: ", Assert.Single((await Api.PatchAsync("/api/users/patched", new { email = "x" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ten_thousand_users_are_taken_at_once_and_counted()
    {
        var users = Enumerable.Range(0, 10_000).Select(i => new { id = $"bulk-{i:00000}", name = $"Name {i}", attributes = new { i } }).ToArray();
        var first = (await Api.PostAsync("/api/users", new { users })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((10_000, 0), (first.GetProperty("created").GetInt32(), first.GetProperty("updated").GetInt32()));
        var mixed = """{"users": [{"id": "bulk-00000", "role": "r"}, {"id": "bulk-00001", "name": null}, {"id": "bulk-new"}]}""";
        var second = (await Api.PostAsync("/api/users", mixed)).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((1, 2), (second.GetProperty("created").GetInt32(), second.GetProperty("updated").GetInt32()));
        var user = (await Api.GetAsync("/api/users/bulk-00000")).Data;
        Assert.Equal(("Name 0", "r"), (user.GetProperty("name").GetString(), user.GetProperty("role").GetString()));
        Assert.Equal(JsonValueKind.Null, (await Api.GetAsync("/api/users/bulk-00001")).Data.GetProperty("name").ValueKind);
    }

    [Fact]
    public async Task Every_fault_of_every_user_is_named_and_none_is_taken()
    {
        var body = """
            {"users": [
              {"id": "fine"},
              {"name": "", "email": "no", "phone": "abc", "language": "x", "timezone": "Mars/Base", "avatar": "ftp://x", "attributes": []},
              {"id": " fine ", "role": ""},
              {"id": "\u0001x"},
              {"id": "huge", "attributes": {"a": [1e999999]}}
            ]}
            """;
        var details = (await Api.PostAsync("/api/users", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details;
        Assert.Equal(
            ["users[1].attributes", "users[1].avatar", "users[1].email", "users[1].id", "users[1].language", "users[1].name", "users[1].phone", "users[1].timezone", "users[2].id", "users[2].role", "users[3].id", "users[4].attributes"],
            details.Select(d => d[..d.IndexOf(':', StringComparison.Ordinal)]).Order(StringComparer.Ordinal));
        (await Api.GetAsync("/api/users/fine")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");

        var shapes = (await Api.PostAsync("/api/users", """{"users": [{"id": 5}, {"id": "a", "email": 7}, 3]}""")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details;
        Assert.Contains(shapes, d => d.StartsWith("users[1].email: ", StringComparison.Ordinal));
        Assert.Contains(shapes, d => d.StartsWith("users[2]: ", StringComparison.Ordinal));
        (await Api.PostAsync("/api/users", """{"users": [null]}""")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.PostAsync("/api/users", new { users = Enumerable.Range(0, 10_001).Select(i => new { id = $"u{i}" }) })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.PostAsync("/api/users", """{"id": "both", "users": [{"id": "x"}]}""")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task The_list_goes_by_id_page_by_page_and_by_what_is_asked_for()
    {
        var api = await service.NewAppAsync("listing");
        string[] ids = ["Anna", "Zoe", "anna", "bert", "émile", "日本"];
        await api.PostAsync("/api/users", new { users = ids.Reverse().Select((id, i) => new { id, name = $"Person {id}", role = i % 2 == 0 ? "even" : "odd" }) });
        foreach (var limit in new[] { 1, 4, 100 })
        {
            var seen = new List<string>();
            for (string? cursor = null; ;)
            {
                var page = (await api.GetAsync($"/api/users?limit={limit}{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
                seen.AddRange(page.Data.EnumerateArray().Select(u => u.GetProperty("id").GetString()!));
                cursor = page.Json.GetProperty("meta").GetProperty("next").GetString();
                if (cursor is null) break;
            }
            Assert.Equal(ids, seen);
        }
        Assert.Equal(["Anna", "anna"], await IdsAsync(api, "search=ANN"));
        Assert.Equal(["émile"], await IdsAsync(api, "search=person%20%C3%89M"));
        Assert.Equal(["Zoe", "bert", "日本"], await IdsAsync(api, "role=even"));
        Assert.Equal(ids, await IdsAsync(api, "status=offline&createdFrom=2020-01-01T00:00:00Z"));
        Assert.Empty(await IdsAsync(api, "status=online"));
        Assert.Empty(await IdsAsync(api, "createdFrom=2999-01-01T00:00:00Z"));
        Assert.Empty(await IdsAsync(api, "createdTo=1000000000"));
        foreach (var bad in new[] { "limit=0", "limit=101", "status=away", "createdFrom=yesterday", "cursor=x" }) (await api.GetAsync($"/api/users?{bad}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task Who_reads_their_feed_is_online_for_a_minute_and_only_if_known()
    {
        await Api.PostAsync("/api/users", new { users = new[] { new { id = "present" }, new { id = "absent" } } });
        (await service.As("present").GetAsync("/api/notification-feed")).ShouldBe(HttpStatusCode.OK);
        (await service.As("unknown").GetAsync("/api/notification-feed/unread-count")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(["present"], await IdsAsync(Api, "status=online"));
        Assert.DoesNotContain("present", await IdsAsync(Api, "status=offline&limit=100"));
        Assert.Equal("online", (await Api.GetAsync("/api/users/present")).Data.GetProperty("status").GetString());
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM users WHERE id = 'unknown'"));

        var presence = service.Services.GetRequiredService<UserPresence>();
        await presence.FlushAsync(CancellationToken.None);
        var written = await service.ScalarAsync<DateTime>("SELECT last_seen_at FROM users WHERE id = 'present'");
        await service.As("present").GetAsync("/api/notification-feed");
        await presence.FlushAsync(CancellationToken.None);
        Assert.Equal(written, await service.ScalarAsync<DateTime>("SELECT last_seen_at FROM users WHERE id = 'present'"));

        await service.ScalarAsync<string>("UPDATE users SET last_seen_at = clock_timestamp() - interval '61 seconds' WHERE id = 'present' RETURNING id");
        Assert.Empty(await IdsAsync(Api, "status=online"));
    }

    [Fact]
    public async Task Who_asks_while_another_writes_who_is_present_waits_for_that_and_whoever_gives_up_loses_nobody()
    {
        await Api.PostAsync("/api/users", new { users = new[] { new { id = "early" }, new { id = "late" } } });
        var app = await service.ScalarAsync<int>("SELECT no FROM apps WHERE id = 'demo'");
        await using var connection = await service.Db.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("LOCK TABLE users IN EXCLUSIVE MODE", connection)) await hold.ExecuteNonQueryAsync();
        // One whose loop does not run: who writes is who asks.
        using var presence = ActivatorUtilities.CreateInstance<UserPresence>(service.Services);
        presence.Seen(app, "early");
        using var patience = new CancellationTokenSource();
        var writing = presence.FlushAsync(patience.Token);
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[$1]", connection.ProcessID) > 0);
        var waiting = presence.FlushAsync(CancellationToken.None);
        presence.Seen(app, "late");
        Assert.False(waiting.IsCompleted);

        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        await transaction.RollbackAsync();
        await waiting;
        Assert.Equal(2, await service.ScalarAsync<long>("SELECT count(*) FROM users WHERE id IN ('early', 'late') AND last_seen_at IS NOT NULL"));
        await service.ExecuteAsync("DELETE FROM users WHERE id IN ('early', 'late')");
    }

    [Fact]
    public async Task An_id_may_hold_anything_that_a_path_can_carry_and_none_is_taken_for_another()
    {
        // A real server: what it makes of a path is the point.
        using var process = await ServiceProcess.StartAsync(service.ConnectionString, ("Roles", "api"));
        var api = process.Api;
        string[] ids = ["zoë/a b?#%-🎉", "path/one", "path%2Fone"];
        foreach (var id in ids) (await api.PostAsync("/api/users", new { id })).ShouldBe(HttpStatusCode.OK);
        foreach (var id in ids) Assert.Equal(id, (await api.GetAsync($"/api/users/{Uri.EscapeDataString(id)}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("id").GetString());
        foreach (var id in ids) Assert.Equal(id, (await api.GetAsync($"/api/analytics/users/{Uri.EscapeDataString(id)}")).ShouldBe(HttpStatusCode.OK).Data.GetProperty("userId").GetString());
        (await api.DeleteAsync($"/api/users/{Uri.EscapeDataString(ids[2])}")).ShouldBe(HttpStatusCode.OK);
        (await api.GetAsync($"/api/users/{Uri.EscapeDataString(ids[1])}")).ShouldBe(HttpStatusCode.OK);
        (await api.GetAsync($"/api/users/{new string('x', 256)}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task A_device_is_registered_once_and_never_shows_its_token()
    {
        const string token = "push-token-of-a-phone-1234";
        var made = (await Api.PostAsync("/api/users/owner/devices", new { platform = "ios", token, name = "Phone" })).ShouldBe(HttpStatusCode.Created);
        Assert.DoesNotContain(token, made.Text, StringComparison.Ordinal);
        Assert.Equal("1234", made.Data.GetProperty("tokenEnd").GetString());
        var id = made.Data.GetProperty("deviceId").GetString();
        var again = (await Api.PostAsync("/api/users/owner/devices", new { platform = "ios", token })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((id, "Phone"), (again.GetProperty("deviceId").GetString(), again.GetProperty("name").GetString()));
        (await Api.PostAsync("/api/users/owner/devices", new { deviceId = id, platform = "ios", token = "another-token-of-it-5678" })).ShouldBe(HttpStatusCode.OK);
        (await Api.PostAsync("/api/users/owner/devices", new { deviceId = "web", platform = "web", token = "browser-token" })).ShouldBe(HttpStatusCode.Created);
        var list = (await Api.GetAsync("/api/users/owner/devices")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(2, list.Data.GetArrayLength());
        Assert.DoesNotContain("token-of-it", list.Text, StringComparison.Ordinal);

        // Somebody else signs in on the same browser.
        (await Api.PostAsync("/api/users/heir/devices", new { platform = "web", token = "browser-token" })).ShouldBe(HttpStatusCode.Created);
        Assert.Equal(id, Assert.Single((await Api.GetAsync("/api/users/owner/devices")).Data.EnumerateArray()).GetProperty("deviceId").GetString());
        (await Api.DeleteAsync($"/api/users/owner/devices/{id}")).ShouldBe(HttpStatusCode.NoContent);
        (await Api.DeleteAsync($"/api/users/owner/devices/{id}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.GetAsync("/api/users/owner/devices")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Equal(3, (await Api.PostAsync("/api/users/owner/devices", """{"platform": "fax", "token": "", "deviceId": "a b"}""")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Length);
    }

    private static async Task<string[]> IdsAsync(Api api, string query) =>
        [.. (await api.GetAsync($"/api/users?{query}")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(u => u.GetProperty("id").GetString()!)];
}
