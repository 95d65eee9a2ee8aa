using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Templates;

/// <summary>Versions: what makes the next one, and that an approved one never changes.</summary>
public sealed class TemplateVersionTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_change_to_a_draft_stays_in_its_version()
    {
        var path = await NewAsync("draft");
        var t = (await service.Api.PutAsync(path, new { channels = Channels("two"), variableSchema = new[] { new { key = "name" } } })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("draft", 1, "two"), (Status(t), Current(t), Title(t)));
        Assert.Equal("name", t.GetProperty("variableSchema")[0].GetProperty("key").GetString());
        Assert.Equal(["1 draft two"], await VersionsAsync(path));
    }

    [Fact]
    public async Task A_change_to_an_approved_version_makes_the_next_one_a_draft()
    {
        var path = await NewAsync("approved");
        var t = (await service.Api.PutAsync(path, new { channels = Channels("two") })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("draft", 2, 1, "two"), (Status(t), Current(t), Approved(t), Title(t)));
        Assert.Equal(["2 draft two", "1 approved one"], await VersionsAsync(path));

        // The next change goes into that draft.
        t = (await service.Api.PutAsync(path, new { channels = Channels("three") })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(["2 draft three", "1 approved one"], await VersionsAsync(path));

        t = (await service.Api.PostAsync($"{path}/approve")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("approved", 2, 2), (Status(t), Current(t), Approved(t)));
        Assert.Equal(["2 approved three", "1 approved one"], await VersionsAsync(path));
    }

    [Fact]
    public async Task A_change_of_the_schema_alone_makes_the_next_version_too()
    {
        var path = await NewAsync("approved");
        var t = (await service.Api.PutAsync(path, new { variableSchema = new[] { new { key = "name", required = true } } })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("draft", 2, "one"), (Status(t), Current(t), Title(t)));
    }

    [Fact]
    public async Task Status_approved_in_the_same_request_approves_what_it_changes()
    {
        foreach (var status in new[] { "draft", "approved" })
        {
            var path = await NewAsync(status);
            var t = (await service.Api.PutAsync(path, new { channels = Channels("two"), status = "approved" })).ShouldBe(HttpStatusCode.OK).Data;
            var version = status == "draft" ? 1 : 2;
            Assert.Equal(("approved", version, version, "two"), (Status(t), Current(t), Approved(t), Title(t)));
        }
    }

    [Fact]
    public async Task What_is_said_beside_the_content_makes_no_version_nor_does_the_same_content_again()
    {
        var path = await NewAsync("approved");
        foreach (var body in new[]
        {
            """{"name": "Other", "label": "L", "tags": ["t"], "templateCategory": "C", "alternativeText": "A"}""", """{"status": "approved"}""",
            """{"variableSchema": [], "channels": [ { "content" : { "title" : "one" } , "channelType": "in_app" } ]}""",
        })
        {
            var t = (await service.Api.PutAsync(path, body)).ShouldBe(HttpStatusCode.OK).Data;
            Assert.Equal(("approved", 1, 1), (Status(t), Current(t), Approved(t)));
        }
    }

    [Fact]
    public async Task Approving_is_safe_to_repeat()
    {
        var path = await NewAsync("draft");
        (await service.Api.PostAsync($"{path}/approve")).ShouldBe(HttpStatusCode.OK);
        var first = (await service.Api.GetAsync($"{path}/versions")).Data[0].GetProperty("approvedAt").GetString();
        (await service.Api.PostAsync($"{path}/approve")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(first, (await service.Api.GetAsync($"{path}/versions")).Data[0].GetProperty("approvedAt").GetString());
        (await service.Api.PostAsync("/api/templates/nothing/approve")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Status_draft_is_taken_only_of_a_draft()
    {
        var draft = await NewAsync("draft");
        Assert.Equal("draft", Status((await service.Api.PutAsync(draft, new { status = "draft", name = "x" })).ShouldBe(HttpStatusCode.OK).Data));
        var approved = await NewAsync("approved");
        (await service.Api.PutAsync(approved, new { status = "draft", name = "lost" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
        Assert.NotEqual("lost", (await service.Api.GetAsync(approved)).Data.GetProperty("name").GetString());
        (await service.Api.PutAsync(approved, new { status = "archived" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task The_next_version_is_made_by_hand_from_what_is_given_and_else_the_newest()
    {
        var path = await NewAsync("approved");
        var v = (await service.Api.PostAsync($"{path}/versions")).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(["version", "status", "variableSchema", "channels", "createdAt", "approvedAt"], v.EnumerateObject().Select(m => m.Name));
        Assert.Equal((2, "draft", JsonValueKind.Null), (v.GetProperty("version").GetInt32(), Status(v), v.GetProperty("approvedAt").ValueKind));
        await service.Api.PostAsync($"{path}/versions", new { });
        await service.Api.PostAsync($"{path}/versions", new { channels = Channels("four") });
        var fifth = (await service.Api.PostAsync($"{path}/versions", new { variableSchema = new[] { new { key = "name" } } })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(1, fifth.GetProperty("variableSchema").GetArrayLength());
        Assert.Equal(["5 draft four", "4 draft four", "3 draft one", "2 draft one", "1 approved one"], await VersionsAsync(path));
        var t = (await service.Api.GetAsync(path)).Data;
        Assert.Equal(("draft", 5, 1), (Status(t), Current(t), Approved(t)));
        (await service.Api.PostAsync("/api/templates/nothing/versions")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await service.Api.GetAsync("/api/templates/nothing/versions")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Changes_at_the_same_moment_never_make_one_version_twice()
    {
        var path = await NewAsync("approved");
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => service.Api.PostAsync($"{path}/versions", new { channels = Channels($"racer {i}") })));
        var made = answers.Where(a => a.Status == HttpStatusCode.Created).Select(a => a.Data.GetProperty("version").GetInt32()).Order().ToArray();
        Assert.Equal(Enumerable.Range(2, made.Length), made);
        Assert.All(answers.Where(a => a.Status != HttpStatusCode.Created), a => Assert.Contains("same moment", a.ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT").Text, StringComparison.Ordinal));
        Assert.Equal(made.Length + 1, (await VersionsAsync(path)).Length);
    }

    [Fact]
    public async Task What_is_approved_never_changes_however_changes_and_approvals_race()
    {
        for (var round = 0; round < 5; round++)
        {
            var path = await NewAsync("draft");
            var racers = await Task.WhenAll(
                service.Api.PostAsync($"{path}/approve"), service.Api.PutAsync(path, new { channels = Channels("changed") }), service.Api.PutAsync(path, new { status = "approved", channels = Channels("both") }));
            Assert.All(racers, r => Assert.Contains(r.Status, new[] { HttpStatusCode.OK, HttpStatusCode.Conflict }));
            foreach (var answer in racers.Where(r => r.Status == HttpStatusCode.OK && Status(r.Data) == "approved"))
            {
                var version = (await service.Api.GetAsync($"{path}/versions")).Data.EnumerateArray().Single(v => v.GetProperty("version").GetInt32() == Current(answer.Data));
                Assert.Equal(("approved", Title(answer.Data)), (Status(version), Title(version)));
            }
        }
    }

    [Fact]
    public async Task Content_at_its_limit_in_size_and_depth_is_given_back_and_sent_as_it_came()
    {
        // Written anew, each emoji would take twelve bytes and the content pass the limit that it was checked against.
        var deep = string.Concat(Enumerable.Repeat("""{"d":""", 59)) + "1" + new string('}', 59);
        var head = $$$"""{"deep":{{{deep}}},"title":"{{name}} """;
        var emoji = (256 * 1024 - Encoding.UTF8.GetByteCount(head) - 2) / 4;
        var content = head + string.Concat(Enumerable.Repeat("😀", emoji)) + "\"}";
        var body = $$"""{"name": "Big", "status": "approved", "variableSchema": [{"key": "name"}], "channels": [{"channelType": "in_app", "content": {{content}}}]}""";
        await NewAsync("draft");
        var made = (await service.Api.PostAsync("/api/templates", body)).ShouldBe(HttpStatusCode.Created);
        Assert.Contains(content, made.Text, StringComparison.Ordinal);
        var id = JsonDocument.Parse(made.Text, new JsonDocumentOptions { MaxDepth = 100 }).RootElement.GetProperty("data").GetProperty("id").GetString();
        foreach (var path in new[] { $"/api/templates/{id}", $"/api/templates/{id}/versions", "/api/templates" })
        {
            Assert.Contains(content, (await service.Api.GetAsync(path)).ShouldBe(HttpStatusCode.OK).Text, StringComparison.Ordinal);
        }
        var campaign = await service.Api.NewCampaignAsync(id);
        (await service.Api.PostAsync($"/api/campaigns/{campaign}/recipients", new { userIds = new[] { "ann" } })).ShouldBe(HttpStatusCode.Created);
        (await service.Api.PostAsync($"/api/campaigns/{campaign}/send")).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        Assert.Equal("completed", Status(await service.Api.CampaignAsync(campaign)));
    }

    private async Task<string> NewAsync(string status)
    {
        if ((await service.Api.GetAsync("/api/channels/inbox")).Status == HttpStatusCode.NotFound)
        {
            (await service.Api.PostAsync("/api/channels", new { name = "Inbox", type = "in_app", channelId = "inbox" })).ShouldBe(HttpStatusCode.Created);
        }
        var made = (await service.Api.PostAsync("/api/templates", new { name = "Versions", status, channels = Channels("one") })).ShouldBe(HttpStatusCode.Created);
        return $"/api/templates/{made.Data.GetProperty("id").GetString()}";
    }

    private async Task<string[]> VersionsAsync(string path) =>
        [.. (await service.Api.GetAsync($"{path}/versions")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(v => $"{v.GetProperty("version")} {Status(v)} {Title(v)}")];

    private static object[] Channels(string title) => [new { channelType = "in_app", content = new { title } }];

    private static string Status(JsonElement of) => of.GetProperty("status").GetString()!;

    private static int Current(JsonElement of) => of.GetProperty("currentVersion").GetInt32();

    private static int Approved(JsonElement of) => of.GetProperty("approvedVersion").GetInt32();

    private static string Title(JsonElement of) => of.GetProperty("channels")[0].GetProperty("content").GetProperty("title").GetString()!;
}
