using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.IntegrationTests.Hosting;

public sealed class EmbeddedPostgresTests : IAsyncLifetime
{
    private TestFolder _folder = null!;

    private string Data => _folder.Sub("postgres");

    public async Task InitializeAsync() => _folder = await TestFolder.CreateAsync();

    public Task DisposeAsync()
    {
        _folder.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Data_survives_a_restart()
    {
        await using (EmbeddedPostgres first = await StartAsync())
            await ExecuteAsync(first.ConnectionString, "create table kept as select 42 as n");

        await using EmbeddedPostgres second = await StartAsync();

        Assert.Equal(42, await ScalarAsync(second.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task The_database_is_UTF8_sorts_by_bytes_and_keeps_its_time_in_UTC()
    {
        await using EmbeddedPostgres postgres = await StartAsync();

        Assert.Equal("UTF8 C UTC", await ScalarAsync(postgres.ConnectionString,
            "select current_setting('server_encoding') || ' ' || datcollate || ' ' || current_setting('timezone') from pg_database where datname = current_database()"));
    }

    [Fact]
    public async Task A_second_starter_attaches_and_leaves_the_server_running_when_it_goes()
    {
        await using EmbeddedPostgres owner = await StartAsync();
        EmbeddedPostgres guest = await StartAsync();

        Assert.Equal((true, false, owner.Port), (owner.IsOwner, guest.IsOwner, guest.Port));
        await guest.DisposeAsync();
        Assert.Equal(1, await ScalarAsync(owner.ConnectionString, "select 1"));
    }

    [Fact]
    public async Task Of_several_starters_at_once_on_a_new_folder_one_owns_the_server_and_all_share_it()
    {
        EmbeddedPostgres[] all = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => StartAsync()));

        Assert.Single(all, p => p.IsOwner);
        Assert.Single(all.Select(p => p.ConnectionString).Distinct());
        foreach (EmbeddedPostgres postgres in all.OrderBy(p => p.IsOwner))
            await postgres.DisposeAsync();
    }

    [Fact]
    public async Task A_guest_takes_the_server_over_on_the_same_port_when_its_owner_goes()
    {
        EmbeddedPostgres owner = await StartAsync();
        await using EmbeddedPostgres guest = await StartAsync();
        await owner.DisposeAsync();

        await UntilAsync(() => AnswersAsync(guest.ConnectionString));
        Assert.True(guest.IsOwner);
    }

    [Fact]
    public async Task A_killed_server_is_started_again_on_the_same_port_with_what_was_committed()
    {
        await using EmbeddedPostgres postgres = await EmbeddedPostgres.StartAsync(Options() with { Durable = true }, NullLogger.Instance);
        await ExecuteAsync(postgres.ConnectionString, "create table kept as select 42 as n");

        Process.GetProcessById(ServerProcess()).Kill();

        await UntilAsync(() => AnswersAsync(postgres.ConnectionString));
        Assert.Equal(42, await ScalarAsync(postgres.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task The_server_ends_in_good_order_when_its_owner_is_killed()
    {
        using PostgresOwner owner = await PostgresOwner.StartAsync(Data);
        await owner.KillAsync();

        await UntilAsync(async () => !File.Exists(Path.Combine(Data, "postmaster.pid")) && !await AnswersAsync(owner.ConnectionString));
        // The last line may be written a little later.
        await UntilAsync(async () => (await File.ReadAllTextAsync(Path.Combine(Data, "server.log"))).Contains("database system is shut down", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_start_right_after_the_owner_was_killed_gets_a_server_that_stays()
    {
        using PostgresOwner owner = await PostgresOwner.StartAsync(Data);
        await ExecuteAsync(owner.ConnectionString, "create table kept as select 42 as n");
        await owner.KillAsync();

        await using EmbeddedPostgres next = await StartAsync();

        Assert.True(next.IsOwner);
        Assert.Equal(42, await ScalarAsync(next.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task Owner_and_server_killed_together_lose_nothing_that_was_committed()
    {
        using PostgresOwner owner = await PostgresOwner.StartAsync(Data);
        await ExecuteAsync(owner.ConnectionString, "create table kept as select 42 as n");
        Process.GetProcessById(ServerProcess()).Kill();
        await owner.KillAsync();

        await using EmbeddedPostgres next = await StartAsync();

        Assert.Equal(42, await ScalarAsync(next.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task The_server_never_runs_as_root()
    {
        await using EmbeddedPostgres postgres = await StartAsync();

        object? uid = await ScalarAsync(postgres.ConnectionString, "create temp table me (uid int); copy me from program 'id -u'; select uid from me");
        Assert.True(uid is > 0);
    }

    [Fact]
    public async Task The_server_does_not_see_the_secrets_in_the_environment_of_the_service()
    {
        Environment.SetEnvironmentVariable("CAMPAIGNS_TEST_SECRET", "s3cret");
        await using EmbeddedPostgres postgres = await StartAsync();

        Assert.Equal(0L, await ScalarAsync(postgres.ConnectionString,
            "create temp table env (v text); copy env from program 'env'; select count(*) from env where v like '%s3cret%'"));
    }

    [Fact]
    public async Task Nobody_gets_in_without_the_password_and_only_its_owner_can_read_that()
    {
        await using EmbeddedPostgres postgres = await StartAsync();
        var without = new NpgsqlConnectionStringBuilder(postgres.ConnectionString) { Password = null };
        var wrong = new NpgsqlConnectionStringBuilder(postgres.ConnectionString) { Password = "guess" };

        Assert.False(await AnswersAsync(without.ConnectionString));
        Assert.False(await AnswersAsync(wrong.ConnectionString));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, OperatingSystem.IsWindows() ? default : File.GetUnixFileMode(Data + ".password"));
    }

    [Fact]
    public async Task A_data_folder_that_lost_its_password_gets_a_new_one()
    {
        await using (EmbeddedPostgres first = await StartAsync())
            await ExecuteAsync(first.ConnectionString, "create table kept as select 42 as n");
        File.Delete(Data + ".password");

        await using EmbeddedPostgres second = await StartAsync();

        Assert.Equal(42, await ScalarAsync(second.ConnectionString, "select n from kept"));
    }

    [Fact]
    public async Task What_a_start_that_died_in_the_middle_left_is_thrown_away()
    {
        Directory.CreateDirectory(Data + ".new/base");
        await File.WriteAllTextAsync(Data + ".new/PG_VERSION", "15");

        await using EmbeddedPostgres postgres = await StartAsync();

        Assert.False(Directory.Exists(Data + ".new"));
    }

    [Fact]
    public async Task A_taken_port_is_named_with_the_setting_that_changes_it()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;

        string message = await RefusalAsync(new EmbeddedPostgresOptions { DataDirectory = Data, Durable = false, Port = port });

        Assert.Contains($"Port {port} on 127.0.0.1 is taken", message, StringComparison.Ordinal);
        Assert.Contains("Embedded__Port", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_data_folder_of_another_version_names_both_versions()
    {
        Directory.CreateDirectory(Data);
        await File.WriteAllTextAsync(Path.Combine(Data, "PG_VERSION"), "9\n");
        int installed = PostgresBinaries.Find(Data, null).Major;

        string message = await RefusalAsync(Options());

        Assert.Contains("was made by PostgreSQL 9", message, StringComparison.Ordinal);
        Assert.Contains(installed.ToString(CultureInfo.InvariantCulture), message, StringComparison.Ordinal);
        Assert.Contains("pg_dumpall", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_with_other_files_in_it_is_left_alone()
    {
        Directory.CreateDirectory(Data);
        await File.WriteAllTextAsync(Path.Combine(Data, "thesis.txt"), "");

        Assert.Contains("holds files that are not those of a PostgreSQL server", await RefusalAsync(Options()), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Data, "thesis.txt")));
    }

    [Fact]
    public async Task A_data_folder_of_another_user_is_refused_with_its_owner()
    {
        // Root can give a folder away; anybody else finds one that is not theirs.
        string data = Data;
        if (Environment.IsPrivilegedProcess)
        {
            await (await StartAsync()).DisposeAsync();
            Assert.True((await ServerAccount.RunAsOurselvesAsync(["chown", "-R", "daemon", Data], CancellationToken.None)).Succeeded);
        }
        else
        {
            data = "/campaigns-of-nobody";
        }

        string message = await RefusalAsync(Options() with { DataDirectory = data });

        Assert.Contains($"it belongs to {(Environment.IsPrivilegedProcess ? "daemon" : "root")}", message, StringComparison.Ordinal);
        Assert.Contains("Embedded__DataDirectory", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Any_other_failure_shows_what_the_server_said_last()
    {
        await (await StartAsync()).DisposeAsync();
        await File.AppendAllTextAsync(Path.Combine(Data, "postgresql.auto.conf"), "work_mem = 'a lot'\n");

        Assert.Contains("work_mem", await RefusalAsync(Options()), StringComparison.Ordinal);
    }

    private EmbeddedPostgresOptions Options() => new() { DataDirectory = Data, Durable = false };

    private Task<EmbeddedPostgres> StartAsync() => EmbeddedPostgres.StartAsync(Options(), NullLogger.Instance);

    private static async Task<string> RefusalAsync(EmbeddedPostgresOptions options) =>
        (await Assert.ThrowsAsync<DatabaseStartException>(() => EmbeddedPostgres.StartAsync(options, NullLogger.Instance))).Message;

    private int ServerProcess() => int.Parse(File.ReadLines(Path.Combine(Data, "postmaster.pid")).First(), CultureInfo.InvariantCulture);

    private static async Task ExecuteAsync(string connectionString, string sql) => await ScalarAsync(connectionString, sql);

    private static async Task<object?> ScalarAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    private static async Task<bool> AnswersAsync(string connectionString)
    {
        try
        {
            return await ScalarAsync(connectionString, "select 1") is 1;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    /// <summary>Waits for what another process is about to do, which gives no signal that we could wait for.</summary>
    private static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!await isSo())
            await tick.WaitForNextTickAsync(patience.Token);
    }
}
