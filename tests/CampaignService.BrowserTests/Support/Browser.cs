using Microsoft.Playwright;

namespace CampaignService.BrowserTests.Support;

/// <summary>One service and one browser for the tests of a class; each test has a page that knows nothing of the others.</summary>
public sealed class Browser : IAsyncLifetime
{
    private RunningService? _service;
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public async Task InitializeAsync()
    {
        // On a busy machine a page may take longer than the five seconds that it has by itself.
        Assertions.SetDefaultExpectTimeout(30_000);
        var program = Chromium.Find();
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = program, Headless = true, Args = Chromium.Flags });
        _service = await RunningService.StartAsync();
    }

    public async Task DisposeAsync()
    {
        if (_browser is not null) await _browser.DisposeAsync();
        _playwright?.Dispose();
        if (_service is not null) await _service.DisposeAsync();
    }

    /// <summary>A page of a browser without cookies or stored values, on which a path of the service is open.</summary>
    public async Task<IPage> OpenAsync(string path)
    {
        var page = await _browser!.NewPageAsync(new() { BaseURL = _service!.Url });
        await page.GotoAsync(path);
        return page;
    }
}
