using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace CampaignService.Hosting;

/// <summary>How an embedded server is run.</summary>
public sealed record EmbeddedPostgresOptions
{
    /// <summary>The server's data folder, made when it is not there. The lock and the password lie beside it.</summary>
    public required string DataDirectory { get; init; }

    /// <summary>The database that is made, and that the connection string names.</summary>
    public string Database { get; init; } = "campaigns";

    /// <summary>False: nothing is synced to disk, so a power cut may destroy the cluster. For tests.</summary>
    public bool Durable { get; init; } = true;

    /// <summary>The port on 127.0.0.1; 0 takes a free one at each start.</summary>
    public int Port { get; init; }

    public int MaxConnections { get; init; } = 100;
}

/// <summary>
/// A PostgreSQL server of our own, run from the programs installed on the machine. It listens on 127.0.0.1 only, asks for a random
/// password, never runs as root and ends with the process that started it. A second process on the same folder attaches to the running
/// server, and takes over when its owner goes.
/// </summary>
public sealed class EmbeddedPostgres : IAsyncDisposable
{
    private const string Role = "campaigns";
    private static readonly TimeSpan PassingTrouble = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan OwnerStarting = TimeSpan.FromMinutes(2);

    private readonly EmbeddedPostgresOptions _options;
    private readonly ILogger _logger;
    private readonly ClusterFiles _files;
    private readonly ServerAccount _account;
    private readonly CancellationTokenSource _disposing = new();
    private Task _watching = Task.CompletedTask;
    private FileStream? _ownership;
    private PostgresGuard? _guard;
    private string _password = "";

    private EmbeddedPostgres(EmbeddedPostgresOptions options, ILogger logger)
    {
        _options = options;
        _logger = logger;
        _files = new ClusterFiles(options.DataDirectory);
        _account = ServerAccount.Current();
    }

    /// <summary>Whether this process started the server, and will stop it.</summary>
    public bool IsOwner => _ownership is not null;

    public int Port { get; private set; }

    public string ConnectionString => ConnectionTo(_options.Database);

    /// <summary>Starts the server, or attaches to the one that another process runs on the same folder; returns when it takes connections.</summary>
    /// <exception cref="DatabaseStartException">It cannot be started; the message says why and what to do.</exception>
    public static async Task<EmbeddedPostgres> StartAsync(EmbeddedPostgresOptions options, ILogger logger, CancellationToken ct = default)
    {
        var postgres = new EmbeddedPostgres(options, logger);
        try
        {
            await postgres.OwnOrAttachAsync(ct);
            await postgres.EnsureDatabaseAsync(ct);
            postgres._watching = postgres.KeepRunningAsync(postgres._disposing.Token);
            return postgres;
        }
        catch (Exception e)
        {
            await postgres.DisposeAsync();
            if (e is UnauthorizedAccessException)
                throw new DatabaseStartException(await postgres.WhyNoAccessAsync(), e);
            if (e is IOException or NpgsqlException)
                throw new DatabaseStartException($"The embedded PostgreSQL in {postgres._files.Data} cannot be used: {e.Message}", e);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposing.IsCancellationRequested)
            return;
        await _disposing.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_guard is not null)
        {
            await _guard.StopServerAsync();
            _guard.Dispose();
            _guard = null;
        }

        if (_ownership is not null)
            await _ownership.DisposeAsync();
        _ownership = null;
        _disposing.Dispose();
    }

    private string ConnectionTo(string database) => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = Port,
        Username = Role,
        Password = _password,
        Database = database,
        SslMode = SslMode.Disable,
        // Never a password in clear: whoever listens on this port after our server died would learn it.
        RequireAuth = "ScramSHA256",
    }.ConnectionString;

    private async Task OwnOrAttachAsync(CancellationToken ct)
    {
        _files.MakeHome(passable: _account.IsOther);
        for (var waited = Stopwatch.StartNew(); ; await Task.Delay(50, ct))
        {
            if ((_ownership = _files.TryLock()) is not null)
            {
                await StartOwnServerAsync(_options.Port, ct);
                return;
            }

            if (await IsOursAsync(ct) == true)
                return;
            if (waited.Elapsed > OwnerStarting)
            {
                throw new DatabaseStartException($"Another process has held {_files.Data}.lock for {OwnerStarting.TotalMinutes} minutes, "
                    + $"but the server in {_files.Data} does not answer. End that process, or look into {_files.Data}/server.log.");
            }
        }
    }

    /// <summary>We hold the lock: whatever runs on this folder has lost its owner.</summary>
    private async Task StartOwnServerAsync(int wantedPort, CancellationToken ct)
    {
        if (!await _account.CanEnterAsync(_files.Home, ct))
        {
            throw new DatabaseStartException($"PostgreSQL runs as the user {_account.Name}, which cannot reach {_files.Home}: a folder on the way "
                + "is closed to it. Name another folder in Embedded__DataDirectory, or open the way (chmod o+x).");
        }

        int? madeBy = _files.MadeByMajor();
        PostgresBinaries binaries = PostgresBinaries.Find(_files.Data, madeBy);
        if (madeBy is null)
            await CreateClusterAsync(binaries, ct);
        else
            await StopOrphanAsync(binaries, ct);
        if (_files.Password() is { } password)
            _password = password;
        else
            await ResetPasswordAsync(binaries, ct);

        _files.TurnLog();
        await StartServerAsync(binaries, wantedPort, ct);
        _logger.LogInformation("Embedded PostgreSQL {Major} runs on 127.0.0.1:{Port}, its data is in {DataDirectory}", binaries.Major, Port, _files.Data);
    }

    private async Task CreateClusterAsync(PostgresBinaries binaries, CancellationToken ct)
    {
        if (Directory.Exists(_files.Data))
        {
            if (Directory.EnumerateFileSystemEntries(_files.Data).Any())
            {
                throw new DatabaseStartException($"{_files.Data} holds files that are not those of a PostgreSQL server. "
                    + "Name another folder in Embedded__DataDirectory, or move them away.");
            }

            Directory.Delete(_files.Data);
        }

        _files.MakeUnfinished();
        if (_account.IsOther)
            Check(await ServerAccount.RunAsOurselvesAsync(["chown", _account.Ids, _files.Unfinished], ct), "the data folder cannot be given to " + _account.Name);

        // "cat |": initdb opens the password as a file, and a pipe may only be opened by the account that made it.
        _password = _files.NewPassword();
        string[] initdb =
        [
            binaries.Program("initdb"), "-D", _files.Unfinished, "-U", Role, "-A", "scram-sha-256", "--pwfile=/dev/stdin", "-E", "UTF8", "--no-locale",
        ];
        if (!_options.Durable)
            initdb = [.. initdb, "--no-sync"];
        Check(await _account.RunAsync(["/bin/sh", "-c", "cat | \"$@\"", "sh", .. initdb], _password, ct), "initdb failed");
        Directory.Move(_files.Unfinished, _files.Data);
        // Until the new name is on disk, a power cut would bring back the unfinished folder, and the next start would throw it away.
        if (_options.Durable)
            Check(await ServerAccount.RunAsOurselvesAsync(["sync", _files.Home], ct), "the data folder cannot be synced to disk");
    }

    /// <summary>Its guard is about to stop it or was killed itself. Either way it has to be gone before ours starts.</summary>
    private async Task StopOrphanAsync(PostgresBinaries binaries, CancellationToken ct)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < PassingTrouble; await Task.Delay(50, ct))
        {
            bool? ours = await IsOursAsync(ct);
            if (ours == true)
                await _account.RunAsync([binaries.Program("pg_ctl"), "-D", _files.Data, "-m", "fast", "-w", "stop"], "", ct);
            if (ours is not null)
                return;
        }
    }

    /// <summary>
    /// Whether a server of this folder takes connections: true, false, or null when one is on its way up or down. The port alone does not
    /// tell, since another program may have got it after our server died.
    /// </summary>
    private async Task<bool?> IsOursAsync(CancellationToken ct)
    {
        if (_files.RunningPort() is not { } port || _files.Password() is not { } password)
            return false;
        (Port, _password) = (port, password);
        try
        {
            await using NpgsqlConnection connection = await OpenAsync("postgres", ct);
            await using var command = new NpgsqlCommand("show data_directory", connection);
            return (string?)await command.ExecuteScalarAsync(ct) == _files.Data;
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.AdminShutdown)
        {
            return null;
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            return false;
        }
    }

    /// <summary>The data folder came here without its password. Who may write to it may set one, in single-user mode.</summary>
    private async Task ResetPasswordAsync(PostgresBinaries binaries, CancellationToken ct)
    {
        _password = _files.NewPassword();
        string[] single = [binaries.Program("postgres"), "--single", "-D", _files.Data, "postgres"];
        Check(await _account.RunAsync(single, $"ALTER ROLE {Role} PASSWORD '{_password}'\n", ct), "the database's password cannot be set");
    }

    private async Task StartServerAsync(PostgresBinaries binaries, int wantedPort, CancellationToken ct)
    {
        if (_guard is not { IsOnDuty: true })
        {
            _guard?.Dispose();
            _guard = new PostgresGuard(_account, binaries, _files.Data);
        }

        for (var trying = Stopwatch.StartNew(); ; await Task.Delay(100, ct))
        {
            Port = wantedPort == 0 ? FreePort() : wantedPort;
            long before = _files.LogLength();
            ServerAccount.Outcome outcome = await _guard.StartAsync(Settings(), ct);
            if (outcome.Succeeded)
                return;
            string log = _files.LogSince(before);
            bool portTaken = log.Contains("Address already in use", StringComparison.Ordinal);
            if (portTaken && wantedPort != 0)
            {
                throw new DatabaseStartException($"Port {wantedPort} on 127.0.0.1 is taken by another program. "
                    + "Set Embedded__Port to a free port, or leave it out to have one chosen.");
            }

            // A server killed a moment ago may still be seen by the new one, until its last process is gone.
            bool passing = portTaken || log.Contains("postmaster.pid\" already exists", StringComparison.Ordinal)
                || log.Contains("pre-existing shared memory block", StringComparison.Ordinal);
            if (!passing || trying.Elapsed > PassingTrouble)
                throw new DatabaseStartException(await WhyNotStartedAsync(log.Length > 0 ? log : outcome.Said, ct));
        }
    }

    private string Settings()
    {
        string[] settings =
        [
            "listen_addresses=127.0.0.1", $"port={Port}", "unix_socket_directories=", $"max_connections={_options.MaxConnections}",
            "logging_collector=off", "timezone=UTC", "log_timezone=UTC", "shared_buffers=256MB", "max_wal_size=2GB", "min_wal_size=1GB", "wal_buffers=16MB",
            // A large campaign fills a segment of the log three times a second, and while a new one is filled with zeros, for 50 ms, nobody commits. Those that are used
            // again have their places on the disk already, and a commit costs less.
            "wal_init_zero=off",
        ];
        if (!_options.Durable)
            settings = [.. settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off"];
        return string.Join(' ', settings.Select(s => "-c " + s));
    }

    /// <summary>
    /// Starts the server again, on the same port, when it died under us or with its owner. Without this a service whose server was killed
    /// would stay up and be of no use.
    /// </summary>
    private async Task KeepRunningAsync(CancellationToken ct)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        while (await timer.WaitForNextTickAsync(ct))
        {
            if (await TakesConnectionsAsync(ct) || (_ownership ??= _files.TryLock()) is null)
                continue;
            try
            {
                _logger.LogWarning("The embedded PostgreSQL on port {Port} is gone; starting it again", Port);
                await StartOwnServerAsync(Port, ct);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                _logger.LogError(e, "The embedded PostgreSQL could not be started again; the next try is in a second");
            }
        }
    }

    private async Task<bool> TakesConnectionsAsync(CancellationToken ct)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(IPAddress.Loopback, Port, ct);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private async Task EnsureDatabaseAsync(CancellationToken ct)
    {
        await using NpgsqlConnection connection = await OpenAsync("postgres", ct);
        await using var exists = new NpgsqlCommand("select 1 from pg_database where datname = $1", connection);
        exists.Parameters.Add(new NpgsqlParameter { Value = _options.Database });
        if (await exists.ExecuteScalarAsync(ct) is not null)
            return;
        try
        {
            string name = new NpgsqlCommandBuilder().QuoteIdentifier(_options.Database);
            await using var create = new NpgsqlCommand("create database " + name, connection);
            await create.ExecuteNonQueryAsync(ct);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.DuplicateDatabase or PostgresErrorCodes.UniqueViolation)
        {
            // A process that started at the same moment made it.
        }
    }

    private async Task<NpgsqlConnection> OpenAsync(string database, CancellationToken ct)
    {
        var connection = new NpgsqlConnection(ConnectionTo(database) + ";Pooling=false;Timeout=5");
        try
        {
            await connection.OpenAsync(ct);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static void Check(ServerAccount.Outcome outcome, string failure)
    {
        if (!outcome.Succeeded)
            throw new DatabaseStartException($"The embedded PostgreSQL cannot be set up: {failure}. It said: {outcome.Said}");
    }

    private async Task<string> WhyNotStartedAsync(string said, CancellationToken ct) =>
        (await _account.RunAsync(["/bin/sh", "-c", "[ -O \"$1\" ]", "sh", _files.Data], "", ct)).Succeeded
            ? $"The embedded PostgreSQL in {_files.Data} did not start. Its last words: {said}"
            : await WhyNoAccessAsync();

    private async Task<string> WhyNoAccessAsync()
    {
        string there = new[] { _files.Data, _files.Home }.FirstOrDefault(Directory.Exists) ?? Path.GetDirectoryName(_files.Home)!;
        ServerAccount.Outcome listed = await ServerAccount.RunAsOurselvesAsync(["ls", "-ld", there], CancellationToken.None);
        string[] columns = listed.Said.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string owner = listed.Succeeded && columns.Length > 2 ? columns[2] : "nobody we can see";
        return $"The data folder {_files.Data} cannot be used by {_account.Name}: it belongs to {owner}. "
            + $"Start the service as {owner}, give the folder away (chown -R {_account.Name}), or name another one in Embedded__DataDirectory.";
    }
}
