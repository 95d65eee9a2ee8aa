using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Tenancy;

/// <summary>Lists page by page. Those of an app are read as an app of this test, so that all their rows are known.</summary>
public sealed class PagingTests(TestService service) : IClassFixture<TestService>
{
    private const int Rows = 7;

    [Theory]
    [InlineData("channels")]
    [InlineData("templates")]
    [InlineData("categories")]
    [InlineData("campaigns")]
    [InlineData("versions")]
    [InlineData("apps")]
    [InlineData("keys")]
    public async Task A_list_is_walked_newest_first_and_holds_every_row_exactly_once(string list)
    {
        var (api, path, key, newestFirst) = await FillAsync(list);
        foreach (var limit in new[] { 1, 2, Rows, 100 })
        {
            var (seen, cursor, pages) = (new List<string>(), (string?)null, 0);
            do
            {
                var page = (await api.GetAsync($"{path}?limit={limit}{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
                var (data, meta) = (page.Data, page.Json.GetProperty("meta"));
                Assert.Equal(limit, meta.GetProperty("limit").GetInt32());
                Assert.Equal(data.GetArrayLength(), meta.GetProperty("count").GetInt32());
                seen.AddRange(data.EnumerateArray().Select(row => row.GetProperty(key).ToString()));
                cursor = meta.GetProperty("next").GetString();
                Assert.True(cursor is null || data.GetArrayLength() == limit, "a page before the last is full");
                if (cursor is not null) Assert.Matches("^[A-Za-z0-9_-]+$", cursor);
                Assert.True(++pages <= 200, "the list has no end");
            }
            while (cursor is not null);
            Assert.Equal(newestFirst, seen);
        }
    }

    [Theory]
    [InlineData("channels")]
    [InlineData("templates")]
    [InlineData("categories")]
    [InlineData("campaigns")]
    [InlineData("versions")]
    [InlineData("apps")]
    [InlineData("keys")]
    public async Task A_limit_out_of_range_and_a_cursor_tampered_with_are_400(string list)
    {
        var (api, path, _, _) = await FillAsync(list);
        foreach (var limit in new[] { "0", "101", "-1", "x", "1.5", "99999999999" })
        {
            var fault = Assert.Single((await api.GetAsync($"{path}?limit={limit}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
            Assert.StartsWith("limit: ", fault, StringComparison.Ordinal);
        }
        Assert.Equal(20, (await api.GetAsync(path)).Json.GetProperty("meta").GetProperty("limit").GetInt32());

        var cursor = (await api.GetAsync($"{path}?limit=2")).Json.GetProperty("meta").GetProperty("next").GetString()!;
        var flipped = (cursor[^2] == 'A' ? 'B' : 'A') + cursor[^1..];
        foreach (var bad in new[] { "x", "AAAA", cursor + "A", cursor[..^1], cursor[1..], cursor + "=", cursor[..^2] + flipped, new string('A', 5000), "%00", "%F0%9F%98%80" })
        {
            var fault = Assert.Single((await api.GetAsync($"{path}?cursor={bad}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
            Assert.StartsWith("cursor: ", fault, StringComparison.Ordinal);
        }
        (await api.GetAsync($"{path}?cursor={cursor}")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_cursor_of_another_list_or_another_app_is_400()
    {
        var lists = new List<(Api Api, string Path, string Cursor)>();
        foreach (var name in new[] { "channels", "templates", "campaigns", "versions", "versions", "channels" })
        {
            var (api, path, _, _) = await FillAsync(name);
            lists.Add((api, path, (await api.GetAsync($"{path}?limit=2")).Json.GetProperty("meta").GetProperty("next").GetString()!));
        }
        for (var i = 0; i < lists.Count; i++)
        {
            for (var j = 0; j < lists.Count; j++)
            {
                var answer = await lists[i].Api.GetAsync($"{lists[i].Path}?cursor={lists[j].Cursor}");
                if (i == j) answer.ShouldBe(HttpStatusCode.OK);
                else answer.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
            }
        }
    }

    [Fact]
    public async Task Rows_made_while_a_list_is_walked_neither_repeat_nor_hide_others()
    {
        var (api, path, key, newestFirst) = await FillAsync("channels");
        var first = (await api.GetAsync($"{path}?limit=3")).ShouldBe(HttpStatusCode.OK);
        (await api.PostAsync("/api/channels", new { name = "Meanwhile", type = "in_app" })).ShouldBe(HttpStatusCode.Created);
        var rest = (await api.GetAsync($"{path}?limit=100&cursor={first.Json.GetProperty("meta").GetProperty("next").GetString()}")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(newestFirst, first.Data.EnumerateArray().Concat(rest.Data.EnumerateArray()).Select(r => r.GetProperty(key).GetString()!));
    }

    private async Task<(Api Api, string Path, string Key, string[] NewestFirst)> FillAsync(string list)
    {
        var id = $"paging-{Guid.NewGuid():N}";
        var api = await service.NewAppAsync(id);
        var operate = service.Client(("operatorKey", TestService.OperatorKey));
        var template = list is "campaigns" or "versions" ? await api.NewTemplateAsync() : "";
        if (list == "templates") await api.PostAsync("/api/channels", new { name = "Inbox", type = "in_app" });
        for (var i = list is "versions" or "keys" ? 1 : 0; i < Rows; i++)
        {
            var made = list switch
            {
                "channels" => await api.PostAsync("/api/channels", new { name = $"Channel {i}", type = "in_app" }),
                "categories" => await api.PostAsync("/api/templates/categories", new { name = $"Category {i}" }),
                "templates" => await api.PostAsync("/api/templates", new { name = "Same name", channels = new[] { new { channelType = "in_app", content = new { i } } } }),
                "campaigns" => await api.PostAsync("/api/campaigns", new { name = "Same name", templateId = template }),
                "versions" => await api.PostAsync($"/api/templates/{template}/versions"),
                "apps" => await operate.PostAsync("/api/apps", new { id = $"{id}-{i}", name = "Same name" }),
                _ => await operate.PostAsync($"/api/apps/{id}/keys", new { name = $"{i}", scopes = new[] { "read" } }),
            };
            made.ShouldBe(HttpStatusCode.Created);
        }
        var path = list switch { "versions" => $"/api/templates/{template}/versions", "apps" => "/api/apps", "keys" => $"/api/apps/{id}/keys", "categories" => "/api/templates/categories", _ => $"/api/{list}" };
        var rows = await RowsAsync(list switch
        {
            "versions" => $"SELECT version::text FROM template_versions v JOIN templates t ON t.id = v.template_id WHERE t.template_id = '{template}' AND v.app_no = (SELECT no FROM apps WHERE id = '{id}') ORDER BY version DESC",
            "apps" => "SELECT id FROM apps ORDER BY no DESC",
            // Of two made in the same millisecond the larger id is the newer one.
            "keys" => $"SELECT id FROM api_keys WHERE app_no = (SELECT no FROM apps WHERE id = '{id}') ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC",
            _ => $"SELECT id FROM {list} WHERE app_no = (SELECT no FROM apps WHERE id = '{id}') ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC",
        });
        Assert.True(rows.Length >= Rows);
        return (list is "apps" or "keys" ? operate : api, path, list == "versions" ? "version" : "id", rows);
    }

    private async Task<string[]> RowsAsync(string sql)
    {
        await using var command = service.Db.CreateCommand(sql);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync()) rows.Add(reader.GetString(0));
        return [.. rows];
    }
}
