namespace CampaignService.BrowserTests.Support;

/// <summary>The browser that is installed on this machine. None is ever downloaded.</summary>
public static class Chromium
{
    /// <summary>Nothing in these says anything to the network; the sandbox is off because it does not start as root.</summary>
    public static readonly string[] Flags =
    [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ];

    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

    /// <summary>The program that <c>CHROMIUM_PATH</c> names, else the first found on the PATH.</summary>
    public static string Find()
    {
        if (Environment.GetEnvironmentVariable("CHROMIUM_PATH") is { Length: > 0 } named) return named;
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return Names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name))).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException("The browser tests need Chromium. Install it (Debian: apt-get install chromium; macOS: brew install --cask chromium) or name the program in CHROMIUM_PATH.");
    }
}
