using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Channels;

public sealed class ChannelTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_new_channel_is_enabled_and_found_by_id_and_slug()
    {
        var api = await service.NewAppAsync("new");
        var made = (await api.PostAsync("/api/channels", new { name = " App inbox ", type = "in_app" })).ShouldBe(HttpStatusCode.Created);
        var c = made.Data;
        Assert.Equal(["id", "channelId", "name", "type", "enabled", "settings", "createdAt", "updatedAt"], c.EnumerateObject().Select(m => m.Name));
        Assert.Equal(("cc-notification-channel-app-inbox", "App inbox", "in_app", true), (Text(c, "channelId"), Text(c, "name"), Text(c, "type"), c.GetProperty("enabled").GetBoolean()));
        Assert.StartsWith("chn_", Text(c, "id"), StringComparison.Ordinal);
        Assert.Equal($"/api/channels/{Text(c, "id")}", made.Headers.Location!.ToString());
        foreach (var id in new[] { Text(c, "id"), Text(c, "channelId") }) Assert.Equal(c.GetRawText(), (await api.GetAsync($"/api/channels/{id}")).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
        (await api.GetAsync("/api/channels/nothing")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task A_slug_is_unique_in_the_app_given_or_made()
    {
        var api = await service.NewAppAsync("slugs");
        (await api.PostAsync("/api/channels", new { name = "One", type = "in_app", channelId = "My.slug_1-x" })).ShouldBe(HttpStatusCode.Created);
        (await api.PostAsync("/api/channels", new { name = "Two", type = "in_app", channelId = "My.slug_1-x" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        (await api.PostAsync("/api/channels", new { name = "Same", type = "in_app" })).ShouldBe(HttpStatusCode.Created);
        (await api.PostAsync("/api/channels", new { name = "SAME!", type = "in_app" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        var race = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => api.PostAsync("/api/channels", new { name = "Race", type = "in_app" })));
        Assert.Single(race, r => r.Status == HttpStatusCode.Created);
        Assert.All(race.Where(r => r.Status != HttpStatusCode.Created), r => r.ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("with space")]
    [InlineData("-x")]
    [InlineData("é")]
    [InlineData("a/b")]
    [InlineData("chn_looks-like-an-id")]
    public async Task A_slug_of_another_form_is_refused(string channelId) =>
        Assert.StartsWith("channelId: ", Assert.Single((await service.Api.PostAsync("/api/channels", new { name = "x", type = "in_app", channelId })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);

    [Theory]
    [InlineData("push")]
    [InlineData("email")]
    public async Task A_type_that_cannot_be_sent_yet_is_refused_and_says_so(string type) =>
        Assert.Equal("type: only in_app and webhook can be sent by this version", Assert.Single((await service.Api.PostAsync("/api/channels", new { name = "x", type })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));

    [Fact]
    public async Task Faults_come_all_at_once()
    {
        var answer = await service.Api.PostAsync("/api/channels", new { name = new string('n', 201), type = "pigeon", channelId = 5, enabled = "yes" });
        Assert.Equal(["channelId: must be text", "enabled: must be true or false", "name: must have 1 to 200 characters", "type: must be one of in_app, push, email, webhook"],
            answer.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Order(StringComparer.Ordinal));
        Assert.Equal(["name: is required", "type: is required"], (await service.Api.PostAsync("/api/channels", new { })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_change_touches_the_members_given_and_never_type_or_slug()
    {
        var api = await service.NewAppAsync("edits");
        var c = (await api.PostAsync("/api/channels", new { name = "Before", type = "in_app", channelId = "slug", enabled = false })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.False(c.GetProperty("enabled").GetBoolean());
        var enabled = (await api.PutAsync("/api/channels/slug", new { enabled = true, channelId = "other", type = "push" })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("Before", "slug", "in_app", true), (Text(enabled, "name"), Text(enabled, "channelId"), Text(enabled, "type"), enabled.GetProperty("enabled").GetBoolean()));
        var named = (await api.PutAsync($"/api/channels/{Text(c, "id")}", new { name = " After " })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("After", true), (Text(named, "name"), named.GetProperty("enabled").GetBoolean()));
        Assert.Equal(named.GetRawText(), (await api.GetAsync("/api/channels/slug")).Data.GetRawText());
        (await api.PutAsync("/api/channels/slug", new { name = " " })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await api.PutAsync("/api/channels/nothing", new { name = "x" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await api.PutAsync("/api/channels/nothing", new { name = "" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task The_list_is_filtered_by_type_state_and_text()
    {
        var api = await service.NewAppAsync("filters");
        foreach (var (name, channelId, enabled) in new[] { ("Alpha 100%", "c-one", true), ("Beta", "c-two", false), ("ALPHABET", "c-three", true) })
        {
            (await api.PostAsync("/api/channels", new { name, type = "in_app", channelId, enabled })).ShouldBe(HttpStatusCode.Created);
        }
        foreach (var (query, expected) in new[]
        {
            ("", "three two one"), ("type=in_app", "three two one"), ("type=push", ""), ("enabled=true", "three one"), ("enabled=false", "two"), ("search=alpha", "three one"),
            ("search=%25", "one"), ("search=C-T", "three two"), ("search=c_t", ""), ("search=alpha&enabled=false", ""),
        })
        {
            var found = (await api.GetAsync($"/api/channels?{query}")).ShouldBe(HttpStatusCode.OK).Data;
            Assert.True(expected == string.Join(' ', found.EnumerateArray().Select(c => Text(c, "channelId")[2..])), $"{query}: {found.GetRawText()}");
        }
        Assert.Equal("type: must be one of in_app, push, email, webhook", Assert.Single((await api.GetAsync("/api/channels?type=InApp")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));
        (await api.GetAsync("/api/channels?enabled=maybe")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;
}
