using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace CampaignService.Hosting;

/// <summary>
/// The database this process works on: the one in <c>ConnectionStrings:Campaigns</c> or, without it, an embedded server that lives as long
/// as this object.
/// </summary>
public sealed class DatabaseChoice : IAsyncDisposable
{
    private const string FallbackRoot = "/var/lib/campaigns";

    /// <summary>The pool's settings that the service is measured with; a connection string that sets them itself wins.</summary>
    private static readonly (string Keyword, object Value)[] Defaults =
        [("Maximum Pool Size", 32), ("Max Auto Prepare", 50), ("No Reset On Close", true)];

    private readonly EmbeddedPostgres? _embedded;

    private DatabaseChoice(string connectionString, EmbeddedPostgres? embedded) =>
        (ConnectionString, _embedded) = (WithDefaults(connectionString), embedded);

    public string ConnectionString { get; }

    public bool IsEmbedded => _embedded is not null;

    /// <exception cref="DatabaseStartException">There is no database to work on; the message says why and what to do.</exception>
    public static async Task<DatabaseChoice> OpenAsync(IConfiguration configuration, ILogger logger, CancellationToken ct = default)
    {
        if (configuration.GetConnectionString("Campaigns") is { } given && !string.IsNullOrWhiteSpace(given))
            return new(given, null);

        string home = await ReachableAsync(WantedHome(configuration), logger, ct);
        var options = new EmbeddedPostgresOptions { DataDirectory = Path.Combine(home, "postgres"), Port = WantedPort(configuration) };
        EmbeddedPostgres embedded = await EmbeddedPostgres.StartAsync(options, logger, ct);
        return new(embedded.ConnectionString, embedded);
    }

    public ValueTask DisposeAsync() => _embedded?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <exception cref="DatabaseStartException">It is not a connection string.</exception>
    internal static string WithDefaults(string connectionString)
    {
        try
        {
            var builder = new NpgsqlConnectionStringBuilder(connectionString);
            foreach ((string keyword, object value) in Defaults)
                if (!builder.ShouldSerialize(keyword))
                    builder[keyword] = value;
            return builder.ConnectionString;
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new DatabaseStartException($"ConnectionStrings__Campaigns is not a connection string of PostgreSQL ({e.Message}). "
                + "It looks like this: Host=db;Database=campaigns;Username=campaigns;Password=…", e);
        }
    }

    internal static string WantedHome(IConfiguration configuration)
    {
        if (configuration["Embedded:DataDirectory"] is { Length: > 0 } named)
            return Path.GetFullPath(named);
        string contentRoot = configuration[HostDefaults.ContentRootKey] ?? Directory.GetCurrentDirectory();
        return Path.Combine(SolutionAbove(AppContext.BaseDirectory) ?? SolutionAbove(contentRoot) ?? AppContext.BaseDirectory, ".data");
    }

    /// <summary>Where the data goes instead of a folder that the server's account cannot reach: always the same place for the same folder.</summary>
    internal static string FallbackFor(string home) =>
        Path.Combine(FallbackRoot, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(home)))[..12]);

    private static async Task<string> ReachableAsync(string home, ILogger logger, CancellationToken ct)
    {
        if (await ServerAccount.Current().CanEnterAsync(home, ct))
            return home;
        string fallback = FallbackFor(home);
        logger.LogWarning(
            "PostgreSQL does not run as root, and its own user cannot reach {DataDirectory}: the data is in {Fallback}", home, fallback);
        return fallback;
    }

    private static string? SolutionAbove(string directory)
    {
        for (string? folder = Path.TrimEndingDirectorySeparator(directory); folder is not null; folder = Path.GetDirectoryName(folder))
            if (File.Exists(Path.Combine(folder, "Campaigns.sln")))
                return folder;
        return null;
    }

    private static int WantedPort(IConfiguration configuration)
    {
        string? port = configuration["Embedded:Port"];
        if (string.IsNullOrWhiteSpace(port))
            return 0;
        return ushort.TryParse(port, out ushort number)
            ? number
            : throw new DatabaseStartException($"Embedded__Port is \"{port}\", which is no port: use 1 to 65535, or 0 for any free one.");
    }
}
