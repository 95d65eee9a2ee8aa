using System.Diagnostics;

namespace CampaignService.IntegrationTests.Support;

/// <summary>
/// The library by which many customers verify webhooks, from the npm registry, kept outside of the repository. It is fetched once; scripts/test
/// sees to it that there is a Node.js.
/// </summary>
public static class StandardWebhooks
{
    private const string Package = "standardwebhooks", Version = "1.0.0";

    private static readonly Lazy<Task<string>> Folder = new(FetchAsync);

    /// <summary>Has the library verify a body with its headers.</summary>
    /// <returns>Nothing when it is genuine, else what the library says.</returns>
    public static async Task<string> VerifyAsync(string secret, string id, string timestamp, string signature, string body)
    {
        const string script = """
            const { Webhook } = require('standardwebhooks');
            const [secret, id, timestamp, signature, body] = process.argv.slice(1);
            try {
              new Webhook(secret).verify(body, { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature });
            } catch (e) {
              process.stdout.write(e.message);
            }
            """;
        return await RunAsync(await Folder.Value, "node", "-e", script, secret, id, timestamp, signature, body);
    }

    private static async Task<string> FetchAsync()
    {
        var caches = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set ? set : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        var folder = Path.Combine(caches, "campaigns-tests", $"{Package}-{Version}");
        if (Directory.Exists(Path.Combine(folder, "node_modules", Package))) return folder;
        // Elsewhere first: what is in place is whole, also when two runs fetch at once or one is killed.
        var making = $"{folder}.{Guid.NewGuid():N}";
        Directory.CreateDirectory(making);
        await RunAsync(making, "npm", "install", "--prefix", making, "--ignore-scripts", "--no-audit", "--no-fund", "--silent", $"{Package}@{Version}");
        try
        {
            Directory.Move(making, folder);
        }
        catch (IOException)
        {
            Directory.Delete(making, recursive: true);
        }
        return folder;
    }

    private static async Task<string> RunAsync(string folder, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new InvalidOperationException($"This test needs Node.js and npm, and there is no '{program}' on the PATH. scripts/test installs them.");
        }
        using (process)
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.WaitForExitAsync();
            return process.ExitCode == 0 ? await output : throw new InvalidOperationException($"{program} failed ({process.ExitCode}): {await output}{await error}");
        }
    }
}
