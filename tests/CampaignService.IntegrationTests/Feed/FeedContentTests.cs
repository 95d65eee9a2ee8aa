using System.Net;
using System.Text.Json;
using CampaignService.Templates;

namespace CampaignService.IntegrationTests.Feed;

public sealed class FeedContentTests(FeedService service) : IClassFixture<FeedService>
{
    private static readonly Variable[] NameAndCity = [new("name"), new("city")];

    [Fact]
    public async Task An_item_has_every_field_of_the_contract()
    {
        var template = await service.NewTemplateAsync(service.Api, new { title = "Hi {{name}}" });
        var campaign = await service.SendAsync(service.Api, template, new() { ["fields"] = new() { ["name"] = "Ann" } });
        var item = await FeedService.NewestAsync(service.As("fields"));
        Assert.Equal(
            "id,notificationId,campaignId,templateId,templateVersion,channelId,channelType,templateCategory,label,tags,content,status,sentAt,deliveredAt,readAt,engagedAt",
            string.Join(',', item.EnumerateObject().Select(m => m.Name)));
        Assert.Equal((campaign, template, 1), (Text(item, "campaignId"), Text(item, "templateId"), item.GetProperty("templateVersion").GetInt32()));
        Assert.Equal(("inbox", "in_app", "news", "Hello", "sent"),
            (Text(item, "channelId"), Text(item, "channelType"), Text(item, "templateCategory"), Text(item, "label"), Text(item, "status")));
        Assert.Equal("""["spring","sale"]""", item.GetProperty("tags").GetRawText());
        Assert.Equal("""{"title":"Hi Ann"}""", item.GetProperty("content").GetRawText());
        Assert.All(["deliveredAt", "readAt", "engagedAt"], m => Assert.Equal(JsonValueKind.Null, item.GetProperty(m).ValueKind));
        Assert.StartsWith("ntf_", Text(item, "notificationId"), StringComparison.Ordinal);
        Assert.Equal(item.GetRawText(), (await service.As("fields").GetAsync($"{FeedService.Feed}/{Text(item, "id")}")).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
    }

    [Fact]
    public async Task It_was_sent_when_the_database_wrote_it()
    {
        var before = await service.ScalarAsync<DateTime>("SELECT clock_timestamp()");
        await service.GreetAsync("when");
        var after = await service.ScalarAsync<DateTime>("SELECT clock_timestamp()");
        var sent = (await FeedService.NewestAsync(service.As("when"))).GetProperty("sentAt").GetDateTime();
        Assert.InRange(sent, before.AddMilliseconds(-1), after.AddMilliseconds(1));
    }

    [Theory]
    [InlineData("Zoë 👩‍👩‍👧 🎉")]
    [InlineData("e\u0301 is not é; Z\u0351\u036b\u0343a\u0301")]
    [InlineData("\"quoted\" \\ back \\u0041 \\n")]
    [InlineData("line\r\nbreak\tand tab")]
    [InlineData("{{name}} {{ city | default: \"x\" }} {{receiver.name}}")]
    [InlineData("<b>&amp;'</b>")]
    [InlineData("\u202eright to left العربية")]
    [InlineData("{NULL,\"a\"}")]
    [InlineData("NULL")]
    public async Task A_value_arrives_as_it_was_given(string value)
    {
        var template = await service.NewTemplateAsync(service.Api, new { title = "<{{name}}>", city = "{{city}}" }, NameAndCity);
        await service.SendAsync(service.Api, template, new() { ["exact"] = new() { ["name"] = value, ["city"] = "Bern" } });
        var content = (await FeedService.NewestAsync(service.As("exact"))).GetProperty("content");
        Assert.Equal(($"<{value}>", "Bern"), (Text(content, "title"), Text(content, "city")));
    }

    [Fact]
    public async Task Each_user_gets_their_own_values()
    {
        var template = await service.NewTemplateAsync(service.Api, new { title = "{{name}} of {{city}}" }, NameAndCity);
        var users = Enumerable.Range(0, 50).ToDictionary(i => $"own{i}", i => new Dictionary<string, string> { ["name"] = $"n{i}", ["city"] = $"c{i}" });
        await service.SendAsync(service.Api, template, users);
        foreach (var i in Enumerable.Range(0, 50))
        {
            var item = Assert.Single((await service.As($"own{i}").GetAsync(FeedService.Feed)).Data.EnumerateArray());
            Assert.Equal($"n{i} of c{i}", Text(item.GetProperty("content"), "title"));
        }
    }

    [Theory]
    [InlineData(true, true, true, "own")]
    [InlineData(false, true, true, "campaign")]
    [InlineData(false, false, true, "schema")]
    [InlineData(false, false, false, "token")]
    public async Task The_nearest_value_wins(bool own, bool campaign, bool schema, string expected)
    {
        var user = $"nearest-{expected}";
        Variable[] variables = [new("name", DefaultValue: schema ? JsonSerializer.SerializeToElement("schema") : null), new("city")];
        var template = await service.NewTemplateAsync(service.Api, new { title = "{{ name | default: \"token\" }}", city = "[{{city}}]" }, variables);
        var values = own ? new Dictionary<string, string> { ["name"] = "own" } : [];
        await service.SendAsync(service.Api, template, new() { [user] = values, [user + "-other"] = new() { ["name"] = "x" } }, campaign ? new { name = "campaign" } : null);
        var content = (await FeedService.NewestAsync(service.As(user))).GetProperty("content");
        Assert.Equal((expected, "[]"), (Text(content, "title"), Text(content, "city")));
    }

    [Fact]
    public async Task What_was_sent_stays_as_it_was_when_its_template_goes_on()
    {
        var template = await service.NewTemplateAsync(service.Api, new { title = "One {{name}}" });
        await service.SendAsync(service.Api, template, new() { ["pinned"] = new() { ["name"] = "Ann" } });
        await service.ChangeTemplateAsync(template, (t, now) =>
        {
            var current = t.Current.Content;
            t.ChangeContent(new TemplateContent(current.VariableSchema, [current.Channels[0] with { Content = JsonSerializer.SerializeToElement(new { title = "Two {{name}}" }) }]), now);
            t.Edit(new TemplateMetadata(t.Name, "offers", "Bye", null, ["summer"]), now);
            t.Approve(now);
        });
        await service.SendAsync(service.Api, template, new() { ["pinned"] = new() { ["name"] = "Ann" } });
        var items = (await service.As("pinned").GetAsync(FeedService.Feed)).Data;
        Assert.Equal([(2, "Two Ann"), (1, "One Ann")], items.EnumerateArray().Select(i => (i.GetProperty("templateVersion").GetInt32(), Text(i.GetProperty("content"), "title"))));
        // What is said about the template is not part of what was sent: it is told as it is now.
        Assert.All(items.EnumerateArray(), i => Assert.Equal(("offers", "Bye", """["summer"]"""), (Text(i, "templateCategory"), Text(i, "label"), i.GetProperty("tags").GetRawText())));

        await service.ChangeTemplateAsync(template, (t, now) => t.Archive(now));
        Assert.Equal(items.GetRawText(), (await service.As("pinned").GetAsync(FeedService.Feed)).Data.GetRawText());
    }

    [Fact]
    public async Task Two_channels_of_one_template_are_two_items()
    {
        var template = await service.NewTemplateAsync(service.Api, new { title = "Hi {{name}}" }, null, "first", "second");
        await service.SendAsync(service.Api, template, new() { ["both"] = new() { ["name"] = "Ann" } });
        var items = (await service.As("both").GetAsync(FeedService.Feed)).Data;
        Assert.Equal(["first", "second"], items.EnumerateArray().Select(i => Text(i, "channelId")).Order());
        Assert.Single(items.EnumerateArray().Select(i => Text(i, "notificationId")).Distinct());
        Assert.All(items.EnumerateArray(), i => Assert.Equal("Hi Ann", Text(i.GetProperty("content"), "title")));
    }

    private static string? Text(JsonElement of, string member) => of.GetProperty(member).GetString();
}
