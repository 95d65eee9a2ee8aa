using System.Diagnostics;
using System.Globalization;
using CampaignService.Hosting;

namespace CampaignService.IntegrationTests.Support;

/// <summary>A folder for one test run's servers, which their account can reach. It goes when it is disposed or, after a crash, with the next run.</summary>
internal sealed class TestFolder : IDisposable
{
    private readonly FileStream _alive;

    private TestFolder(string path, FileStream alive) => (FullName, _alive) = (path, alive);

    public string FullName { get; }

    public static async Task<TestFolder> CreateAsync()
    {
        string root = Path.GetTempPath();
        if (!await ServerAccount.Current().CanEnterAsync(root, CancellationToken.None))
            root = "/tmp";
        root = Path.Combine(root, "campaigns-tests-" + Environment.UserName);
        // A folder that is being made has no lock yet: the process in its name tells.
        HashSet<string> alive = [.. Process.GetProcesses().Select(process => process.Id.ToString(CultureInfo.InvariantCulture))];
        foreach (string left in Directory.Exists(root) ? Directory.GetDirectories(root) : [])
        {
            if (!alive.Contains(Path.GetFileName(left).Split('-')[0]))
                DeleteUnlessAlive(left);
        }

        var files = new ClusterFiles(Path.Combine(root, $"{Environment.ProcessId}-{Guid.NewGuid():N}", "run"));
        files.MakeHome(passable: true);
        return new(files.Home, files.TryLock()!);
    }

    public string Sub(string name) => Path.Combine(FullName, name);

    public void Dispose()
    {
        Directory.Delete(FullName, recursive: true);
        _alive.Dispose();
    }

    private static void DeleteUnlessAlive(string folder)
    {
        try
        {
            using FileStream? free = new ClusterFiles(Path.Combine(folder, "run")).TryLock();
            if (free is not null)
                Directory.Delete(folder, recursive: true);
        }
        catch (IOException)
        {
            // Another run is cleaning up, too.
        }
    }
}
