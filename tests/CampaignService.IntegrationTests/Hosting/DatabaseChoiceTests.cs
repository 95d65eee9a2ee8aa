using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.IntegrationTests.Hosting;

public sealed class DatabaseChoiceTests : IAsyncLifetime
{
    private TestFolder _folder = null!;

    public async Task InitializeAsync() => _folder = await TestFolder.CreateAsync();

    public Task DisposeAsync()
    {
        _folder.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task A_connection_string_wins_over_the_embedded_server()
    {
        await using DatabaseChoice database = await OpenAsync(
            ("ConnectionStrings:Campaigns", "Host=db.example;Database=c"), ("Embedded:DataDirectory", _folder.Sub("home")));

        Assert.False(database.IsEmbedded);
        Assert.Equal("db.example", new NpgsqlConnectionStringBuilder(database.ConnectionString).Host);
        Assert.False(Directory.Exists(_folder.Sub("home")));
    }

    [Fact]
    public async Task Without_one_an_embedded_server_runs_in_the_folder_named()
    {
        await using DatabaseChoice database = await OpenAsync(("ConnectionStrings:Campaigns", ""), ("Embedded:DataDirectory", _folder.Sub("home")));

        Assert.True(database.IsEmbedded);
        await using var connection = new NpgsqlConnection(database.ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        Assert.Equal("campaigns", connection.Database);
        Assert.True(File.Exists(_folder.Sub("home/postgres/PG_VERSION")));
    }

    [Fact]
    public async Task As_root_a_folder_closed_to_the_servers_user_is_replaced_by_one_under_var_lib()
    {
        string closed = _folder.Sub("closed");
        if (!OperatingSystem.IsWindows())
            Directory.CreateDirectory(closed, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        string wanted = Path.Combine(closed, "data");
        string expected = Environment.IsPrivilegedProcess ? DatabaseChoice.FallbackFor(wanted) : wanted;
        try
        {
            await using DatabaseChoice database = await OpenAsync(("Embedded:DataDirectory", wanted));

            Assert.True(File.Exists(Path.Combine(expected, "postgres", "PG_VERSION")));
            Assert.Matches("^/var/lib/campaigns/[0-9a-f]{12}$", DatabaseChoice.FallbackFor(wanted));
        }
        finally
        {
            if (Directory.Exists(expected))
                Directory.Delete(expected, recursive: true);
        }
    }

    [Fact]
    public void The_default_folder_lies_beside_the_solution()
    {
        string home = DatabaseChoice.WantedHome(new ConfigurationBuilder().Build());

        Assert.Equal(".data", Path.GetFileName(home));
        Assert.True(File.Exists(Path.Combine(Path.GetDirectoryName(home)!, "Campaigns.sln")));
    }

    [Fact]
    public void The_pools_defaults_are_added()
    {
        var with = new NpgsqlConnectionStringBuilder(DatabaseChoice.WithDefaults("Host=h"));

        Assert.Equal((32, 50, true), (with.MaxPoolSize, with.MaxAutoPrepare, with.NoResetOnClose));
    }

    [Theory]
    [InlineData("Host=h;Maximum Pool Size=7;Max Auto Prepare=0;No Reset On Close=false")]
    [InlineData("Host=h;MaxPoolSize=7;MaxAutoPrepare=0;NoResetOnClose=false")]
    public void The_pools_defaults_never_override_what_is_given(string given)
    {
        var with = new NpgsqlConnectionStringBuilder(DatabaseChoice.WithDefaults(given));

        Assert.Equal((7, 0, false), (with.MaxPoolSize, with.MaxAutoPrepare, with.NoResetOnClose));
    }

    [Theory]
    [InlineData("ConnectionStrings:Campaigns", "nonsense", "is not a connection string")]
    [InlineData("ConnectionStrings:Campaigns", "Host=h;Port=many", "is not a connection string")]
    [InlineData("Embedded:Port", "70000", "Embedded__Port is \"70000\"")]
    public async Task A_setting_that_makes_no_sense_is_named(string key, string value, string message)
    {
        var refused = await Assert.ThrowsAsync<DatabaseStartException>(() => OpenAsync((key, value), ("Embedded:DataDirectory", _folder.Sub("home"))));

        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_test_class_gets_an_empty_database_of_its_own()
    {
        TestPostgres postgres = await TestPostgres.SharedAsync();

        string[] made = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => postgres.NewDatabaseAsync()));

        Assert.Equal(4, made.Distinct().Count());
        await using var connection = new NpgsqlConnection(made[0] + ";Pooling=false");
        await connection.OpenAsync();
    }

    private static Task<DatabaseChoice> OpenAsync(params (string Key, string Value)[] settings)
    {
        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(s.Key, (string?)s.Value))).Build();
        return DatabaseChoice.OpenAsync(configuration, NullLogger.Instance);
    }
}
