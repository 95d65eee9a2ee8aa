using CampaignService.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.Benchmarks;

/// <summary>The database that product and references share, and the files; everything goes when it is disposed.</summary>
internal sealed class Bench : IAsyncDisposable
{
    public const int Rows = 100_000, ManyRows = 1_000_000, WarmUps = 5;

    private readonly EmbeddedPostgres _postgres;

    private Bench(BenchFolder folder, EmbeddedPostgres postgres)
    {
        (Folder, _postgres) = (folder, postgres);
        Db = NpgsqlDataSource.Create(postgres.ConnectionString);
        References = new References(Db, new Psql(postgres.ConnectionString));
        Pgbench = new Pgbench(postgres.ConnectionString, folder);
    }

    /// <summary>The folder of the solution.</summary>
    public static string Root { get; } = FindRoot();

    public BenchFolder Folder { get; }

    public NpgsqlDataSource Db { get; }

    public Pgbench Pgbench { get; }

    public References References { get; }

    public string PostgresVersion { get; private set; } = "";

    public RecipientFile File { get; private set; } = null!;

    public static async Task<Bench> CreateAsync(CancellationToken ct)
    {
        var folder = await BenchFolder.CreateAsync(ct);
        try
        {
            // A folder of its own: the parent of a data folder is the server's home, which holds its lock and password.
            var options = new EmbeddedPostgresOptions { DataDirectory = Path.Combine(folder.Sub("database"), "postgres") };
            var bench = new Bench(folder, await EmbeddedPostgres.StartAsync(options, NullLogger.Instance, ct));
            try
            {
                bench.PostgresVersion = await bench.Db.ScalarAsync<string>("SHOW server_version", ct);
                bench.File = await RecipientFile.WriteAsync(folder.FullName, Rows, ct);
                return bench;
            }
            catch
            {
                await bench.DisposeAsync();
                throw;
            }
        }
        catch when (Directory.Exists(folder.FullName))
        {
            folder.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Db.DisposeAsync();
        await _postgres.DisposeAsync();
        Folder.Dispose();
    }

    /// <summary>Starts the service on the shared database and lets it run a few times unmeasured: its code is compiled while it runs.</summary>
    public async Task<(ServiceProcess Service, Product Product)> StartServiceAsync(int maxRows, CancellationToken ct)
    {
        var service = await ServiceProcess.StartAsync(Folder, new()
        {
            ["ConnectionStrings__Campaigns"] = _postgres.ConnectionString,
            ["Limits__MaxCsvRows"] = $"{maxRows}",
            ["Limits__MaxUploadBytes"] = $"{maxRows * 256L}",
            ["Channels__AllowPrivateNetworks"] = "true",
        }, ct);
        var product = new Product(service, Db);
        try
        {
            await product.PrepareAsync(ct);
            if (!await Db.ScalarAsync<bool>("SELECT to_regclass('reference_feed') IS NOT NULL", ct)) await References.CreateAsync(ct);
            for (var i = 0; i < WarmUps; i++)
            {
                var campaign = await product.DraftAsync(ct);
                await product.UploadAsync(campaign, File, ct);
                await product.SendUntilEndedAsync(campaign, ct);
                await product.RecountAsync(campaign, Rows, ct);
                await product.ClearAsync(ct);
            }
            return (service, product);
        }
        catch
        {
            product.Dispose();
            await service.DisposeAsync();
            throw;
        }
    }

    /// <summary>One process of several on the shared database.</summary>
    public Task<ServiceProcess> StartProcessAsync(string roles, int loops, CancellationToken ct) => ServiceProcess.StartAsync(Folder, new()
    {
        ["ConnectionStrings__Campaigns"] = _postgres.ConnectionString,
        ["Roles"] = roles,
        ["Workers__Loops"] = $"{loops}",
        ["Limits__MaxCsvRows"] = $"{ManyRows}",
        ["Channels__AllowPrivateNetworks"] = "true",
    }, ct);

    /// <summary>The pool that a worker with so many loops has.</summary>
    public NpgsqlDataSource DeliveryPool(int loops) => Delivery.DeliveryPool.Create(DatabaseChoice.WithDefaults(_postgres.ConnectionString), loops);

    /// <summary>Both sides start right after one: the worst case for the WAL, and the same for both.</summary>
    public Task CheckpointAsync(CancellationToken ct) => Db.ExecuteAsync("CHECKPOINT", ct);

    /// <summary>
    /// Runs the sides in turn, repetition by repetition, so that whatever else this machine does meets them alike; who goes first changes
    /// with each. The first repetition is not measured.
    /// </summary>
    public static async Task InterleaveAsync(int reps, CancellationToken ct, params Func<bool, Task>[] sides)
    {
        for (var rep = 0; rep <= reps; rep++)
        {
            foreach (var side in rep % 2 == 0 ? sides : sides.Reverse())
            {
                ct.ThrowIfCancellationRequested();
                await side(rep > 0);
            }
        }
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!System.IO.File.Exists(Path.Combine(folder.FullName, "Campaigns.sln"))) folder = folder.Parent!;
        return folder.FullName;
    }
}
