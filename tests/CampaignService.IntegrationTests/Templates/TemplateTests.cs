using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Templates;

/// <summary>Templates: making, reading, changing, approving, archiving. Each test has an app of its own with one channel.</summary>
public sealed class TemplateTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_new_template_is_a_draft_at_version_1_with_all_its_fields()
    {
        var api = await AppAsync();
        var made = (await api.PostAsync("/api/templates", new
        {
            name = " Spring sale ",
            templateCategory = "Marketing",
            label = "Sale",
            alternativeText = "Our spring sale",
            tags = new[] { "spring", " sale ", "spring" },
            variableSchema = new object[] { new { key = "name", name = "First name", required = true }, new { key = "photo", type = "image", defaultValue = new { url = "https://x/y", width = 1, height = 2 } } },
            channels = new[] { new { channelType = "in_app", content = new { title = "Hello {{name}}" }, dataType = "data_template" } },
        })).ShouldBe(HttpStatusCode.Created);
        var t = made.Data;
        Assert.Equal(
            ["id", "templateId", "name", "status", "currentVersion", "approvedVersion", "templateCategory", "label", "alternativeText", "tags", "variableSchema", "channels", "createdAt", "updatedAt"],
            t.EnumerateObject().Select(m => m.Name));
        Assert.StartsWith("tpl_", Text(t, "id"), StringComparison.Ordinal);
        Assert.Equal($"/api/templates/{Text(t, "id")}", made.Headers.Location!.ToString());
        Assert.Equal(("cc-template-spring-sale", "Spring sale", "draft"), (Text(t, "templateId"), Text(t, "name"), Text(t, "status")));
        Assert.Equal((1, JsonValueKind.Null), (t.GetProperty("currentVersion").GetInt32(), t.GetProperty("approvedVersion").ValueKind));
        Assert.Equal(("Marketing", "Sale", "Our spring sale"), (Text(t, "templateCategory"), Text(t, "label"), Text(t, "alternativeText")));
        Assert.Equal("""["spring","sale"]""", t.GetProperty("tags").GetRawText());
        Assert.Equal(
            """[{"key":"name","type":"string","name":"First name","required":true,"defaultValue":null},{"key":"photo","type":"image","name":null,"required":false,"defaultValue":{"url":"https://x/y","width":1,"height":2}}]""",
            t.GetProperty("variableSchema").GetRawText());
        Assert.Equal("""[{"channelType":"in_app","channelId":"inbox","content":{"title":"Hello {{name}}"},"dataType":"data_template","messageRetentionHours":0}]""", t.GetProperty("channels").GetRawText());
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", Text(t, "createdAt"));

        foreach (var id in new[] { Text(t, "id"), Text(t, "templateId") })
        {
            Assert.Equal(t.GetRawText(), (await api.GetAsync($"/api/templates/{id}")).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
        }
        (await api.GetAsync("/api/templates/nothing")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task A_template_can_be_made_approved()
    {
        var api = await AppAsync();
        var t = await NewAsync(api, status: "approved");
        Assert.Equal(("approved", 1), (Text(t, "status"), t.GetProperty("approvedVersion").GetInt32()));
        var refused = await api.PostAsync("/api/templates", Body(status: "archived"));
        Assert.Equal("status: must be draft or approved; DELETE archives a template", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));
    }

    [Fact]
    public async Task A_slug_made_from_the_name_is_made_unique_by_a_suffix()
    {
        var api = await AppAsync();
        var slugs = new List<string>();
        foreach (var name in new[] { "Sale!", "sale", "  SALE ", "Sale 2", "Sale", "日本", "日本" }) slugs.Add(Text(await NewAsync(api, name: name), "templateId"));
        Assert.Equal(
            ["cc-template-sale", "cc-template-sale-2", "cc-template-sale-3", "cc-template-sale-2-2", "cc-template-sale-4", "cc-template-cf2abf0c5be3", "cc-template-cf2abf0c5be3-2"], slugs);
        // What is archived keeps its slug: campaigns and feed items name it.
        (await api.DeleteAsync("/api/templates/cc-template-sale-4")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal("cc-template-sale-5", Text(await NewAsync(api, name: "Sale"), "templateId"));
    }

    [Fact]
    public async Task Templates_of_one_name_made_at_once_all_get_a_slug()
    {
        var api = await AppAsync();
        var made = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => api.PostAsync("/api/templates", Body(name: "Race"))));
        Assert.All(made, m => m.ShouldBe(HttpStatusCode.Created));
        Assert.Equal(12, made.Select(m => Text(m.Data, "templateId")).Distinct().Count());
    }

    [Fact]
    public async Task A_slug_that_is_given_is_kept_or_refused_when_it_is_taken()
    {
        var api = await AppAsync();
        Assert.Equal("My.Own_slug-1", Text(await NewAsync(api, templateId: "My.Own_slug-1"), "templateId"));
        (await api.PostAsync("/api/templates", Body(templateId: "My.Own_slug-1"))).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        await NewAsync(api, templateId: "my.own_slug-1");
        var race = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => api.PostAsync("/api/templates", Body(templateId: "raced"))));
        Assert.Single(race, r => r.Status == HttpStatusCode.Created);
        Assert.All(race.Where(r => r.Status != HttpStatusCode.Created), r => r.ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT"));
    }

    [Fact]
    public async Task A_change_touches_the_members_given_and_null_empties()
    {
        var api = await AppAsync();
        var before = (await api.PostAsync("/api/templates", new
        {
            name = "Before",
            templateCategory = "Cat",
            label = "Label",
            alternativeText = "Alt",
            tags = new[] { "a" },
            variableSchema = new[] { new { key = "name" } },
            channels = new[] { new { channelType = "in_app", content = new { title = "{{name}}" } } },
        })).ShouldBe(HttpStatusCode.Created).Data;
        var path = $"/api/templates/{Text(before, "id")}";

        Assert.Equal(Without(before), Without((await api.PutAsync(path, new { })).ShouldBe(HttpStatusCode.OK).Data));
        Assert.Equal(Without(before, "name"), Without((await api.PutAsync(path, new { name = " After ", templateId = "ignored" })).ShouldBe(HttpStatusCode.OK).Data, "name"));
        Assert.Equal("After", Text((await api.GetAsync(path)).Data, "name"));

        var emptied = (await api.PutAsync(path, """{"templateCategory": null, "label": null, "alternativeText": " ", "tags": null, "variableSchema": null}""")).ShouldBe(HttpStatusCode.OK).Data;
        foreach (var member in new[] { "templateCategory", "label", "alternativeText" }) Assert.Equal(JsonValueKind.Null, emptied.GetProperty(member).ValueKind);
        Assert.Equal(("[]", "[]"), (emptied.GetProperty("tags").GetRawText(), emptied.GetProperty("variableSchema").GetRawText()));
        Assert.Equal(before.GetProperty("channels").GetRawText(), emptied.GetProperty("channels").GetRawText());
        Assert.Equal(emptied.GetRawText(), (await api.GetAsync(path)).Data.GetRawText());
    }

    [Fact]
    public async Task Null_empties_too_when_the_body_holds_escaped_emoji()
    {
        var api = await AppAsync();
        var t = (await api.PostAsync("/api/templates", new { name = "x", label = "Label", channels = new[] { Entry() } })).Data;
        var changed = (await api.PutAsync($"/api/templates/{Text(t, "id")}", """{"name": "\ud83d\ude00", "label": null}""")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal("😀", Text(changed, "name"));
        Assert.Equal(JsonValueKind.Null, changed.GetProperty("label").ValueKind);
    }

    [Fact]
    public async Task What_a_get_gives_can_be_put_back_and_changes_nothing()
    {
        var api = await AppAsync();
        var t = (await api.PostAsync("/api/templates", new
        {
            name = "Same",
            status = "approved",
            variableSchema = new object[] { new { key = "n", defaultValue = 1.50m }, new { key = "go", type = "action", defaultValue = new { type = "web", data = "https://x" } } },
            channels = new[] { Entry() },
        })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(Without(t), Without((await api.PutAsync($"/api/templates/{Text(t, "id")}", t.GetRawText())).ShouldBe(HttpStatusCode.OK).Data));
    }

    [Fact]
    public async Task Archiving_hides_a_template_and_nothing_else_can_be_done_to_it()
    {
        var api = await AppAsync();
        var t = await NewAsync(api, status: "approved");
        var path = $"/api/templates/{Text(t, "id")}";
        for (var time = 0; time < 2; time++)
        {
            var archived = (await api.DeleteAsync(path)).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal(("archived", 1), (Text(archived, "status"), archived.GetProperty("approvedVersion").GetInt32()));
        }
        Assert.Equal("archived", Text((await api.GetAsync(path)).ShouldBe(HttpStatusCode.OK).Data, "status"));
        Assert.Equal(1, (await api.GetAsync($"{path}/versions")).ShouldBe(HttpStatusCode.OK).Data.GetArrayLength());
        Assert.Empty((await api.GetAsync("/api/templates")).Data.EnumerateArray());
        Assert.Single((await api.GetAsync("/api/templates?status=archived")).Data.EnumerateArray());
        foreach (var refused in new[]
        {
            await api.PutAsync(path, new { name = "x" }), await api.PutAsync(path, new { }), await api.PutAsync(path, new { status = "draft" }),
            // The state is looked at before the references.
            await api.PutAsync(path, new { channels = new[] { Entry("nothing") } }), await api.PostAsync($"{path}/versions", new { channels = new[] { Entry("nothing") } }),
            await api.PostAsync($"{path}/approve"), await api.PostAsync($"{path}/versions"),
        })
        {
            var error = refused.ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE").Json.GetProperty("error");
            Assert.Equal("archived", Text(error.GetProperty("details"), "state"));
            Assert.Equal("""["draft","approved"]""", error.GetProperty("details").GetProperty("allowed").GetRawText());
        }
        // And the shape before the state.
        (await api.PutAsync(path, new { name = "" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await api.PutAsync("/api/templates/nothing", new { name = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await api.PutAsync("/api/templates/nothing", new { name = "" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task An_archived_template_cannot_be_put_into_a_campaign()
    {
        var api = await AppAsync();
        var t = await NewAsync(api, status: "approved");
        (await api.DeleteAsync($"/api/templates/{Text(t, "id")}")).ShouldBe(HttpStatusCode.OK);
        (await api.PostAsync("/api/campaigns", new { name = "x", templateId = Text(t, "id") })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
    }

    [Fact]
    public async Task The_list_is_filtered_by_status_text_category_and_tags()
    {
        var api = await AppAsync();
        var rows = new (string Name, string Slug, string Status, string? Category, string[] Tags)[]
        {
            ("Alpha", "slug-one", "draft", "Sale", ["a", "b"]), ("Beta 100%", "slug-two", "approved", "sale", ["b"]),
            ("Gamma", "slug-three", "approved", null, ["c", "A"]), ("ALPHABET", "slug-four", "draft", "Sale", []),
        };
        foreach (var (name, templateId, status, templateCategory, tags) in rows)
        {
            (await api.PostAsync("/api/templates", new { name, templateId, status, templateCategory, tags, channels = new[] { Entry() } })).ShouldBe(HttpStatusCode.Created);
        }
        var id = Text((await api.GetAsync("/api/templates/slug-one")).Data, "id");
        foreach (var (query, expected) in new[]
        {
            ("", "four three two one"), ("status=draft", "four one"), ("status=approved", "three two"), ("status=archived", ""),
            ("search=alpha", "four one"), ("search=SLUG-T", "three two"), ("search=%25", "two"), ("search=_", "four three two one"), ("search=slug_one", ""), ($"search={id}", "one"),
            ("templateCategory=Sale", "four one"), ("templateCategory=none", ""),
            ("tags=a", "one"), ("tags=b", "two one"), ("tags=a,c", "three one"), ("tags=%20a%20,,b", "two one"), ("tags=a,b&tagMatch=all", "one"), ("tags=b,c&tagMatch=all", ""), ("tags=a,b&tagMatch=any", "two one"),
            ("status=draft&search=alpha&templateCategory=Sale&tags=a", "one"),
        })
        {
            var found = (await api.GetAsync($"/api/templates?{query.Replace("search=_", "search=" + Uri.EscapeDataString("-"), StringComparison.Ordinal)}")).ShouldBe(HttpStatusCode.OK).Data;
            Assert.True(expected == string.Join(' ', found.EnumerateArray().Select(t => Text(t, "templateId")["slug-".Length..])), $"{query}: {found.GetRawText()}");
        }
        foreach (var bad in new[] { "status=open", "status=1", "tagMatch=some", "limit=0&status=open" }) (await api.GetAsync($"/api/templates?{bad}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal("status: must be one of draft, approved, archived", Assert.Single((await api.GetAsync("/api/templates?status=open")).Details));
    }

    [Fact]
    public async Task A_list_shows_templates_as_a_get_does()
    {
        var api = await AppAsync();
        var t = await NewAsync(api, status: "approved");
        var changed = (await api.PutAsync($"/api/templates/{Text(t, "id")}", new { channels = new[] { Entry(content: new { v = 2 }) } })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(changed.GetRawText(), Assert.Single((await api.GetAsync("/api/templates")).Data.EnumerateArray()).GetRawText());
    }

    private static object Entry(string? channelId = null, object? content = null) => new { channelType = "in_app", channelId, content = content ?? new { title = "Hello" } };

    private static object Body(string name = "Template", string? templateId = null, string status = "draft") => new { name, templateId, status, channels = new[] { Entry() } };

    private static async Task<JsonElement> NewAsync(Api api, string name = "Template", string? templateId = null, string status = "draft") =>
        (await api.PostAsync("/api/templates", Body(name, templateId, status))).ShouldBe(HttpStatusCode.Created).Data;

    private async Task<Api> AppAsync()
    {
        var api = await service.NewAppAsync($"app-{Guid.NewGuid():N}");
        (await api.PostAsync("/api/channels", new { name = "Inbox", type = "in_app", channelId = "inbox" })).ShouldBe(HttpStatusCode.Created);
        return api;
    }

    private static string Without(JsonElement template, params string[] members) =>
        string.Join(", ", template.EnumerateObject().Where(m => m.Name != "updatedAt" && !members.Contains(m.Name)).Select(m => m.ToString()));

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;
}
