using CampaignService.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace CampaignService.IntegrationTests.Support;

/// <summary>The one PostgreSQL server of a test run, started when the first test asks for it; each test class gets a database of its own.</summary>
public sealed class TestPostgres
{
    private static readonly Lazy<Task<TestPostgres>> Shared = new(StartAsync);

    private readonly EmbeddedPostgres _server;
    private readonly TestFolder _folder;

    private TestPostgres(EmbeddedPostgres server, TestFolder folder) => (_server, _folder) = (server, folder);

    /// <summary>The server that all tests of this assembly use. It ends with the last test or with the process, however that ends.</summary>
    public static Task<TestPostgres> SharedAsync() => Shared.Value;

    /// <summary>Stops the server, if a test asked for it, and removes what it left on disk.</summary>
    public static async Task EndAsync()
    {
        if (!Shared.IsValueCreated)
            return;
        TestPostgres shared = await Shared.Value;
        await shared._server.DisposeAsync();
        shared._folder.Dispose();
    }

    /// <summary>Makes a database, empty or as a copy of another, and returns the connection string to it.</summary>
    public async Task<string> NewDatabaseAsync(string template = "template1")
    {
        string name = $"test_{Guid.NewGuid():N}";
        await ExecuteAsync($"create database {name} template {template}");
        return ConnectionTo(name).ConnectionString;
    }

    /// <summary>Runs a statement on the server's own database: the place to make and copy databases from.</summary>
    public async Task ExecuteAsync(string sql)
    {
        NpgsqlConnectionStringBuilder maintenance = ConnectionTo("postgres");
        maintenance.Pooling = false;
        await using var connection = new NpgsqlConnection(maintenance.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private NpgsqlConnectionStringBuilder ConnectionTo(string database) =>
        new(_server.ConnectionString) { Database = database, MaxPoolSize = 10, IncludeErrorDetail = true };

    private static async Task<TestPostgres> StartAsync()
    {
        TestFolder folder = await TestFolder.CreateAsync();
        var options = new EmbeddedPostgresOptions { DataDirectory = folder.Sub("postgres"), Durable = false, MaxConnections = 300 };
        EmbeddedPostgres server = await EmbeddedPostgres.StartAsync(options, NullLogger.Instance);
        return new(server, folder);
    }
}
