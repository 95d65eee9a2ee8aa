using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Templates;

public sealed class CategoryTests(TestService service) : IClassFixture<TestService>
{
    private const string Categories = "/api/templates/categories";

    private Api Api => service.Api;

    [Fact]
    public async Task A_category_is_made_read_changed_and_deleted_by_id_or_slug()
    {
        var made = (await Api.PostAsync(Categories, new { name = " Product News ", description = "What is new" })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(("Product News", "cc-category-product-news", "What is new"), (Text(made, "name"), Text(made, "categoryId"), Text(made, "description")));
        foreach (var id in new[] { Text(made, "id"), Text(made, "categoryId") })
        {
            Assert.Equal(made.GetRawText(), (await Api.GetAsync($"{Categories}/{id}")).ShouldBe(HttpStatusCode.OK).Data.GetRawText());
        }
        var changed = (await Api.PutAsync($"{Categories}/cc-category-product-news", new { description = (string?)null })).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("Product News", JsonValueKind.Null), (Text(changed, "name"), changed.GetProperty("description").ValueKind));
        (await Api.DeleteAsync($"{Categories}/{Text(made, "id")}")).ShouldBe(HttpStatusCode.NoContent);
        (await Api.GetAsync($"{Categories}/{Text(made, "id")}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        (await Api.DeleteAsync($"{Categories}/{Text(made, "id")}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task A_name_is_there_once_and_a_slug_too()
    {
        var first = (await Api.PostAsync(Categories, new { name = "Twice!" })).ShouldBe(HttpStatusCode.Created).Data;
        (await Api.PostAsync(Categories, new { name = "Twice!" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        var second = (await Api.PostAsync(Categories, new { name = "twice" })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal("cc-category-twice-2", Text(second, "categoryId"));
        (await Api.PutAsync($"{Categories}/{Text(second, "id")}", new { name = "Twice!" })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        (await Api.PutAsync($"{Categories}/{Text(first, "id")}", new { name = "Twice!" })).ShouldBe(HttpStatusCode.OK);
        var other = await service.NewAppAsync("categories");
        (await other.PostAsync(Categories, new { name = "Twice!" })).ShouldBe(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_template_makes_the_category_it_names_once()
    {
        for (var i = 0; i < 2; i++) await TemplateAsync("Free text 🎉");
        var found = Assert.Single((await Api.GetAsync($"{Categories}?search=free%20TEXT")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray());
        Assert.Equal("Free text 🎉", Text(found, "name"));
        var template = await TemplateAsync(null);
        (await Api.PutAsync($"/api/templates/{template}", new { templateCategory = "By change" })).ShouldBe(HttpStatusCode.OK);
        Assert.Single((await Api.GetAsync($"{Categories}?search=by%20change")).Data.EnumerateArray());
        Assert.Equal([template], await TemplatesAsync("By change"));
    }

    [Fact]
    public async Task Many_templates_at_once_make_one_category()
    {
        await TemplateAsync(null);
        var made = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => TemplateAsync($"At once {i % 2}")));
        Assert.Equal(12, made.Distinct().Count());
        Assert.Equal(2, (await Api.GetAsync($"{Categories}?search=at%20once")).Data.GetArrayLength());
    }

    [Fact]
    public async Task A_new_name_is_at_once_that_of_its_templates()
    {
        var template = await TemplateAsync("Old name");
        var category = (await Api.GetAsync($"{Categories}?search=old%20name")).Data[0];
        (await Api.PutAsync($"{Categories}/{Text(category, "id")}", new { name = "New name" })).ShouldBe(HttpStatusCode.OK);
        Assert.Equal("New name", Text((await Api.GetAsync($"/api/templates/{template}")).Data, "templateCategory"));
        Assert.Equal([template], await TemplatesAsync("New name"));
        Assert.Equal([template], await TemplatesAsync(Text(category, "id")!));
        Assert.Equal([template], await TemplatesAsync("cc-category-old-name"));
        Assert.Empty(await TemplatesAsync("Old name"));
    }

    [Fact]
    public async Task A_category_in_use_cannot_be_deleted_and_says_by_how_many()
    {
        var templates = new[] { await TemplateAsync("Used"), await TemplateAsync("Used"), await TemplateAsync("Unused") };
        (await Api.DeleteAsync($"/api/templates/{templates[1]}")).ShouldBe(HttpStatusCode.OK);
        var refused = (await Api.DeleteAsync($"{Categories}/cc-category-used")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        Assert.Contains("2 templates", refused.Text, StringComparison.Ordinal);
        Assert.Equal(2, refused.Json.GetProperty("error").GetProperty("details").GetProperty("templates").GetInt32());
        (await Api.PutAsync($"/api/templates/{templates[2]}", new { templateCategory = (string?)null })).ShouldBe(HttpStatusCode.OK);
        (await Api.DeleteAsync($"{Categories}/cc-category-unused")).ShouldBe(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task No_template_can_take_the_place_of_the_categories()
    {
        await TemplateAsync(null);
        var channels = new[] { new { channelType = "in_app", channelId = Api.Inbox, content = new { a = 1 } } };
        var refused = await Api.PostAsync("/api/templates", new { name = "x", templateId = "categories", channels });
        Assert.StartsWith("templateId: ", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
        (await Api.GetAsync("/api/templates/categories/versions")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Everything_wrong_is_said_at_once()
    {
        var refused = await Api.PostAsync(Categories, new { name = " ", description = new string('x', 1_001) });
        Assert.Equal(["description", "name"], refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]).Order());
        (await Api.PostAsync(Categories, new { name = new string('x', 101) })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    private async Task<string> TemplateAsync(string? templateCategory)
    {
        await Api.PostAsync("/api/channels", new { name = "Inbox", channelId = Api.Inbox, type = "in_app" });
        var channels = new[] { new { channelType = "in_app", channelId = Api.Inbox, content = new { a = 1 } } };
        return Text((await Api.PostAsync("/api/templates", new { name = "Filed", templateCategory, channels })).ShouldBe(HttpStatusCode.Created).Data, "id")!;
    }

    private async Task<string[]> TemplatesAsync(string category) =>
        [.. (await Api.GetAsync($"/api/templates?templateCategory={Uri.EscapeDataString(category)}")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(t => Text(t, "id")!)];

    private static string? Text(JsonElement of, string member) => of.GetProperty(member).GetString();
}
