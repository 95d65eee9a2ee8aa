using CampaignService.Hosting;

namespace CampaignService.Benchmarks;

/// <summary>The run's folder, which the database's account can reach. It goes with the run or, after a kill -9, with the next one.</summary>
internal sealed class BenchFolder : IDisposable
{
    private readonly FileStream _alive;

    private BenchFolder(string path, FileStream alive) => (FullName, _alive) = (path, alive);

    public string FullName { get; }

    public static async Task<BenchFolder> CreateAsync(CancellationToken ct)
    {
        var root = Path.GetTempPath();
        if (!await ServerAccount.Current().CanEnterAsync(root, ct)) root = "/tmp";
        root = Path.Combine(root, "campaigns-bench-" + Environment.UserName);
        foreach (var left in Directory.Exists(root) ? Directory.GetDirectories(root) : []) DeleteUnlessAlive(left);

        var files = new ClusterFiles(Path.Combine(root, $"{Environment.ProcessId}-{Guid.NewGuid():N}", "run"));
        files.MakeHome(passable: true);
        return new BenchFolder(files.Home, files.TryLock()!);
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
            using var free = new ClusterFiles(Path.Combine(folder, "run")).TryLock();
            if (free is not null) Directory.Delete(folder, recursive: true);
        }
        catch (IOException)
        {
            // Another run is cleaning up, too.
        }
    }
}
