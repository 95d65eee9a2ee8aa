using System.Text.RegularExpressions;
using CampaignService.BrowserTests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace CampaignService.BrowserTests;

/// <summary>What somebody does who has just started the service: opens Swagger UI and tries it.</summary>
public sealed class SwaggerTests(Browser browser) : IClassFixture<Browser>
{
    [Fact]
    public async Task A_newcomer_authorizes_lists_the_channels_and_makes_one()
    {
        var page = await browser.OpenAsync("/swagger");
        await AuthorizeAsync(page);

        Assert.Equal("200", await TryAsync(page, "Channels_List"));
        Assert.Equal("201", await TryAsync(page, "Channels_Create"));
        await Expect(Operation(page, "Channels_Create").Locator(".live-responses-table")).ToContainTextAsync("\"channelId\": \"inbox\"");
    }

    [Fact]
    public async Task Without_a_key_the_answer_says_which_headers_are_missing()
    {
        var page = await browser.OpenAsync("/swagger");

        Assert.Equal("401", await TryAsync(page, "Channels_List"));
        await Expect(Operation(page, "Channels_List").Locator(".live-responses-table")).ToContainTextAsync("Send the headers appId and apiKey.");
    }

    [Fact]
    public async Task The_key_survives_a_reload()
    {
        var page = await browser.OpenAsync("/swagger");
        await AuthorizeAsync(page);
        await page.ReloadAsync();

        Assert.Equal("200", await TryAsync(page, "Channels_List"));
    }

    [Fact]
    public async Task The_groups_stand_in_the_order_in_which_they_are_needed_and_nothing_fails_to_load()
    {
        var errors = new List<string>();
        var page = await browser.OpenAsync("about:blank");
        page.Console += (_, message) => { if (message.Type == "error") errors.Add(message.Text); };
        page.PageError += (_, error) => errors.Add(error);
        page.RequestFailed += (_, request) => errors.Add(request.Url);
        await page.GotoAsync("/swagger");
        await Expect(page.Locator(".opblock-tag").First).ToBeVisibleAsync();

        var groups = (await page.Locator(".opblock-tag").AllAsync()).Select(g => g.GetAttributeAsync("data-tag"));
        Assert.Equal(["Channels", "Templates", "Campaigns", "Recipients"], (await Task.WhenAll(groups)).Take(4));
        Assert.Empty(errors);
    }

    private static async Task AuthorizeAsync(IPage page)
    {
        await page.Locator(".auth-wrapper .authorize").First.ClickAsync();
        foreach (var (scheme, value) in new[] { ("appId", "demo"), ("apiKey", "demo-key") })
        {
            var form = page.Locator(".auth-container", new() { Has = page.Locator($"h4 code:text-is('{scheme}')") });
            await form.Locator("input").FillAsync(value);
            await form.GetByRole(AriaRole.Button, new() { Name = "Apply credentials" }).ClickAsync();
        }
        await page.Locator(".close-modal").ClickAsync();
    }

    /// <summary>Opens an operation, runs its example and gives the status of the answer.</summary>
    private static async Task<string> TryAsync(IPage page, string operation)
    {
        var block = Operation(page, operation);
        await block.Locator(".opblock-summary-control").ClickAsync();
        await block.Locator(".try-out__btn").ClickAsync();
        await block.Locator(".execute").ClickAsync();
        var status = block.Locator(".live-responses-table .response-col_status").Filter(new() { HasTextRegex = new Regex("^\\d{3}") });
        return (await status.First.InnerTextAsync())[..3];
    }

    private static ILocator Operation(IPage page, string id) => page.Locator($"[id$='-{id}']");
}
