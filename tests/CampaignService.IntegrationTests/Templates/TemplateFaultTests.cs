using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Templates;

/// <summary>What a template may not be, on each of the three routes that take its content, and where each fault is said to be.</summary>
public sealed class TemplateFaultTests(TestService service) : IClassFixture<TestService>
{
    private const string Inbox = """{"channelType": "in_app", "channelId": "inbox", "content": {"a": 1}}""";

    [Fact]
    public async Task All_faults_come_at_once_each_with_its_place()
    {
        var details = await FaultsAsync("""
            {
              "name": "", "templateId": "tpl_x", "label": 5, "tags": ["ok", "", null], "status": "archived",
              "variableSchema": [{"key": "a"}, {"key": "A"}, {"key": "1x"}, {"key": "p", "type": "image", "default": "x"}],
              "channels": [
                {"channelType": "in_app", "content": {"title": "Hello {{name", "a/b": ["ok", "{{}}"]}},
                {"channelType": "in_app", "channelId": " ", "content": []}
              ]
            }
            """);
        Assert.Equal(
            [
                "label: must be text", "name: must have", "templateId: must have", "tags[1]: must have", "tags[2]: must be text", "status: must be",
                "variableSchema[1].key: 'A' is the same", "variableSchema[2].key: must begin", "variableSchema[3].defaultValue: ",
                "channels[0].content/title: at position 6: ", "channels[0].content/a~1b/1: at position 0: ", "channels[1].channelId: must not be empty", "channels[1].content: must be a JSON object",
            ], Matching(details,
            [
                "label: must be text", "name: must have", "templateId: must have", "tags[1]: must have", "tags[2]: must be text", "status: must be",
                "variableSchema[1].key: 'A' is the same", "variableSchema[2].key: must begin", "variableSchema[3].defaultValue: ",
                "channels[0].content/title: at position 6: ", "channels[0].content/a~1b/1: at position 0: ", "channels[1].channelId: must not be empty", "channels[1].content: must be a JSON object",
            ]));
    }

    [Fact]
    public async Task Faults_of_type_are_named_inside_lists_too()
    {
        var details = await FaultsAsync("""
            {"name": 1, "tags": "a", "status": "open",
             "variableSchema": [{"type": "text"}, 5, null, {"key": "k", "required": "yes"}],
             "channels": [{"channelType": "sms"}, null, {"channelType": "in_app", "content": null, "dataType": 1}]}
            """);
        Assert.Equal(
            [
                "channels[0].channelType: must be one of in_app, push, email, webhook", "channels[0].content: is required", "channels[1]: must be an object", "channels[2].content: must not be null", "channels[2].dataType: must be text",
                "name: must be text", "status: must be one of draft, approved, archived", "tags: must be an array",
                "variableSchema[0].key: is required", "variableSchema[0].type: must be one of string, image, action", "variableSchema[1]: must be an object", "variableSchema[2]: must be an object", "variableSchema[3].required: must be true or false",
            ], details.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("""{"channels": null, "name": null}""", "channels: must not be null;name: must not be null")]
    [InlineData("{}", "channels: is required;name: is required")]
    [InlineData("""{"name": "x", "channels": []}""", "channels: must hold 1 to 20 entries, this has 0")]
    [InlineData("""{"name": "x", "channels": [null]}""", "channels[0]: must be an object")]
    [InlineData("""{"name": "x", "channels": {}}""", "channels: must be an array")]
    public async Task Channels_must_be_there(string body, string expected) =>
        Assert.Equal(expected, string.Join(';', (await FaultsAsync(body)).Order(StringComparer.Ordinal)));

    [Fact]
    public async Task Limits_hold_exactly()
    {
        await ChannelsAsync();
        foreach (var (ok, bad, field) in new (object, object, string)[]
        {
            (new { name = Emoji(200) }, new { name = Emoji(201) }, "name"),
            (new { templateCategory = Emoji(100) }, new { templateCategory = Emoji(101) }, "templateCategory"),
            (new { label = Emoji(100) }, new { label = Emoji(101) }, "label"),
            (new { alternativeText = Emoji(1000) }, new { alternativeText = Emoji(1001) }, "alternativeText"),
            (new { tags = new[] { Emoji(100) } }, new { tags = new[] { Emoji(101) } }, "tags[0]"),
            (new { tags = Enumerable.Range(0, 50).Select(i => $"{i}") }, new { tags = Enumerable.Range(0, 51).Select(i => $"{i}") }, "tags"),
            (new { variableSchema = Variables(100) }, new { variableSchema = Variables(101) }, "variableSchema"),
            (new { variableSchema = new[] { new { key = new string('k', 100) } } }, new { variableSchema = new[] { new { key = new string('k', 101) } } }, "variableSchema[0].key"),
            (new { channels = new[] { Content(256 * 1024) } }, new { channels = new[] { Content(256 * 1024 + 1) } }, "channels[0].content"),
            (new { channels = Many(20) }, new { channels = Many(21) }, "channels"),
        })
        {
            foreach (var (method, path) in await RoutesAsync(field))
            {
                var refused = (await service.Api.SendAsync(method, path, With(bad))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
                Assert.StartsWith($"{field}: ", Assert.Single(refused.Details), StringComparison.Ordinal);
                var taken = await service.Api.SendAsync(method, path, With(ok));
                Assert.True((int)taken.Status is 200 or 201, $"{method} {path} {field}: {taken.Text[..Math.Min(500, taken.Text.Length)]}");
            }
        }
    }

    [Fact]
    public async Task Default_is_another_name_of_defaultValue_which_goes_before_it()
    {
        await ChannelsAsync();
        var t = (await service.Api.PostAsync("/api/templates", $$"""
            {"name": "x", "channels": [{{Inbox}}], "variableSchema": [
              {"key": "a", "default": "one"}, {"key": "b", "default": "one", "defaultValue": "two"}, {"key": "c", "default": 3}, {"key": "d", "default": null}, {"key": "e", "default": "one", "defaultValue": null}]}
            """)).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(["\"one\"", "\"two\"", "3", "null", "\"one\""], t.GetProperty("variableSchema").EnumerateArray().Select(v => v.GetProperty("defaultValue").GetRawText()));
        Assert.All(t.GetProperty("variableSchema").EnumerateArray(), v => Assert.False(v.TryGetProperty("default", out _)));
    }

    [Fact]
    public async Task A_channel_is_named_by_id_or_slug_and_given_back_by_slug()
    {
        var (first, second) = await ChannelsAsync();
        var t = (await service.Api.PostAsync("/api/templates", new
        {
            name = "x",
            channels = new[] { new { channelType = "in_app", channelId = first, content = new { a = 1 } }, new { channelType = "in_app", channelId = "second", content = new { a = 2 } } },
        })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(["inbox", "second"], t.GetProperty("channels").EnumerateArray().Select(c => c.GetProperty("channelId").GetString()));
        Assert.NotEqual(first, second);
    }

    [Fact]
    public async Task An_entry_without_a_channel_means_the_apps_only_one_of_that_type()
    {
        var api = await service.NewAppAsync($"app-{Guid.NewGuid():N}");
        object body = new { name = "x", channels = new[] { new { channelType = "in_app", content = new { a = 1 } } } };
        var none = Assert.Single((await api.PostAsync("/api/templates", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
        Assert.Equal("channels[0].channelId: this app has no channel of type in_app; make one with POST /api/channels", none);
        await api.PostAsync("/api/channels", new { name = "First", type = "in_app", channelId = "first" });
        var one = (await api.PostAsync("/api/templates", body)).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal("first", one.GetProperty("channels")[0].GetProperty("channelId").GetString());
        await api.PostAsync("/api/channels", new { name = "Second", type = "in_app", channelId = "second", enabled = false });
        var several = Assert.Single((await api.PostAsync("/api/templates", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
        Assert.Equal("channels[0].channelId: this app has 2 channels of type in_app; name one of first, second", several);
    }

    [Fact]
    public async Task A_channel_that_is_unknown_of_another_type_or_named_twice_is_refused()
    {
        var (first, _) = await ChannelsAsync();
        foreach (var (method, path) in await RoutesAsync("channels"))
        {
            async Task<Answer> Send(params (string Type, string Id)[] entries) => await service.Api.SendAsync(method, path, new
            {
                name = "x",
                channels = entries.Select(e => new { channelType = e.Type, channelId = e.Id, content = new { a = Guid.NewGuid() } }),
            });
            Assert.Contains("'nothing'", (await Send(("in_app", "inbox"), ("in_app", "nothing"))).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND").Text, StringComparison.Ordinal);
            Assert.Equal("channels[0].channelType: is push, but channel 'inbox' is of type in_app", Assert.Single((await Send(("push", "inbox"))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));
            Assert.Equal("channels[1].channelId: channel 'inbox' has an entry already; one is enough", Assert.Single((await Send(("in_app", "inbox"), ("in_app", first))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));
        }
    }

    [Fact]
    public async Task A_token_that_is_in_no_schema_is_no_fault()
    {
        await ChannelsAsync();
        (await service.Api.PostAsync("/api/templates", """{"name": "x", "channels": [{"channelType": "in_app", "channelId": "inbox", "content": {"t": "{{stranger}} {{ a.b | default: \"x\" }}"}}]}""")).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_member_twice_in_content_is_named()
    {
        var fault = Assert.Single(await FaultsAsync("""{"name": "x", "channels": [{"channelType": "in_app", "content": {"o": {"a": 1, "a": 2}}}]}"""));
        Assert.Equal("channels[0].content/o: has the member 'a' twice", fault);
    }

    /// <summary>Where a body with this field can go; "" when the route does not take it.</summary>
    private async Task<List<(HttpMethod Method, string Path)>> RoutesAsync(string field)
    {
        var made = (await service.Api.PostAsync("/api/templates", With(new { }))).ShouldBe(HttpStatusCode.Created).Data;
        var path = $"/api/templates/{made.GetProperty("id").GetString()}";
        List<(HttpMethod, string)> routes = [(HttpMethod.Post, "/api/templates"), (HttpMethod.Put, path)];
        if (field.StartsWith("channels", StringComparison.Ordinal) || field.StartsWith("variableSchema", StringComparison.Ordinal)) routes.Add((HttpMethod.Post, $"{path}/versions"));
        return routes;
    }

    private async Task<(string First, string Second)> ChannelsAsync()
    {
        foreach (var channelId in new[] { "inbox", "second" }.Concat(Enumerable.Range(0, 20).Select(i => $"more-{i}")))
        {
            if ((await service.Api.GetAsync($"/api/channels/{channelId}")).Status == HttpStatusCode.OK) continue;
            (await service.Api.PostAsync("/api/channels", new { name = channelId, type = "in_app", channelId })).ShouldBe(HttpStatusCode.Created);
        }
        async Task<string> IdAsync(string slug) => (await service.Api.GetAsync($"/api/channels/{slug}")).Data.GetProperty("id").GetString()!;
        return (await IdAsync("inbox"), await IdAsync("second"));
    }

    /// <summary>A good body, with some members in place of its own.</summary>
    private static string With(object members)
    {
        var body = new Dictionary<string, JsonElement> { ["name"] = JsonSerializer.SerializeToElement("Limits"), ["channels"] = JsonSerializer.Deserialize<JsonElement>($"[{Inbox}]") };
        foreach (var member in JsonSerializer.SerializeToElement(members).EnumerateObject()) body[member.Name] = member.Value;
        return JsonSerializer.Serialize(body);
    }

    private async Task<string[]> FaultsAsync(string body) => (await service.Api.PostAsync("/api/templates", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details;

    /// <summary>The beginnings that the faults have, in the order of the faults; a fault with none of them stands for itself.</summary>
    private static string[] Matching(string[] faults, string[] beginnings) => [.. faults.Select(f => beginnings.FirstOrDefault(b => f.StartsWith(b, StringComparison.Ordinal)) ?? f)];

    private static string Emoji(int characters) => string.Concat(Enumerable.Repeat("😀", characters));

    private static object[] Variables(int count) => [.. Enumerable.Range(0, count).Select(i => new { key = $"k{i}" })];

    private static object[] Many(int count) => [.. Enumerable.Range(0, count).Select(i => new { channelType = "in_app", channelId = i == 20 ? "second" : $"more-{i}", content = new { a = 1 } })];

    private static object Content(int bytes) => new { channelType = "in_app", channelId = "inbox", content = new { t = new string('x', bytes - """{"t":""}""".Length) } };
}
