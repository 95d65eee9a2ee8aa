using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;

namespace CampaignService.BrowserTests.Support;

/// <summary>The service as somebody runs it who has just cloned it: a process of its own with an embedded database in a new folder, and the app "demo".</summary>
public sealed partial class RunningService : IAsyncDisposable
{
    private readonly Process _process;
    private readonly DirectoryInfo _folder;

    private RunningService(Process process, DirectoryInfo folder, string url) => (_process, _folder, Url) = (process, folder, url);

    public string Url { get; }

    /// <summary>Starts it on a free port of loopback and returns when it listens.</summary>
    public static async Task<RunningService> StartAsync()
    {
        var folder = Directory.CreateTempSubdirectory("campaigns-browser-");
        // The database runs under an account of its own when the tests run as root; it must be able to enter.
        if (!OperatingSystem.IsWindows()) folder.UnixFileMode |= UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        var start = new ProcessStartInfo("dotnet", [typeof(Program).Assembly.Location, "--urls", "http://127.0.0.1:0"]) { RedirectStandardOutput = true };
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Development";
        start.Environment["Embedded__DataDirectory"] = Path.Combine(folder.FullName, "postgres");
        start.Environment.Remove("ConnectionStrings__Campaigns");
        var process = new Process { StartInfo = start };
        var (log, listens) = (new StringBuilder(), new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously));
        process.OutputDataReceived += (_, line) =>
        {
            log.AppendLine(line.Data);
            if (Listening().Match(line.Data ?? "") is { Success: true } match) listens.TrySetResult(match.Groups[1].Value);
            else if (line.Data is null) listens.TrySetException(new InvalidOperationException($"The service ended before it listened:\n{log}"));
        };
        process.Start();
        process.BeginOutputReadLine();
        try
        {
            return new RunningService(process, folder, await listens.Task.WaitAsync(TimeSpan.FromMinutes(2)));
        }
        catch
        {
            await EndAsync(process, folder);
            throw;
        }
    }

    public async ValueTask DisposeAsync() => await EndAsync(_process, _folder);

    private static async Task EndAsync(Process process, DirectoryInfo folder)
    {
        // SIGTERM, so that it stops its database before it ends; where there is none, the database notices the end of the service.
        if (OperatingSystem.IsWindows()) process.Kill();
        else using (var kill = Process.Start("kill", ["-TERM", $"{process.Id}"])) await kill.WaitForExitAsync();
        await process.WaitForExitAsync();
        process.Dispose();
        folder.Delete(recursive: true);
    }

    [GeneratedRegex("Now listening on: (http://127.0.0.1:[0-9]+)")]
    private static partial Regex Listening();
}
