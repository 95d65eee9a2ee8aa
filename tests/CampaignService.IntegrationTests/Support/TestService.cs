using CampaignService.Delivery;
using CampaignService.Delivery.External;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Support;

/// <summary>
/// The service in this process, on a database of its own; share it as <c>IClassFixture</c>. It has the app "demo" with key "demo-key".
/// No worker loop runs: a test that wants delivery calls <see cref="DeliverAsync"/>, and afterwards all of it has happened.
/// </summary>
public class TestService : IAsyncLifetime
{
    public const string OperatorKey = "operator-key";

    private Factory _factory = null!;

    public string ConnectionString { get; private set; } = "";

    /// <summary>Calls as the app "demo" with its full key.</summary>
    public Api Api { get; private set; } = null!;

    /// <summary>Straight to the database, to look at what is stored.</summary>
    public NpgsqlDataSource Db { get; private set; } = null!;

    public IServiceProvider Services => _factory.Services;

    /// <summary>Settings beside the usual ones; a derived fixture adds its own.</summary>
    protected virtual Dictionary<string, string> Settings => [];

    public async Task InitializeAsync()
    {
        ConnectionString = await MigratedTemplate.NewDatabaseAsync();
        Db = NpgsqlDataSource.Create(ConnectionString);
        _factory = new Factory(ConnectionString, Settings);
        Api = Client(("appId", "demo"), ("apiKey", "demo-key"));
    }

    public async Task DisposeAsync()
    {
        await _factory.DisposeAsync();
        await Db.DisposeAsync();
    }

    /// <summary>A client with these headers and no others.</summary>
    public Api Client(params (string Name, string Value)[] headers)
    {
        var http = _factory.CreateClient();
        foreach (var (name, value) in headers) http.DefaultRequestHeaders.TryAddWithoutValidation(name, value);
        return new Api(http);
    }

    /// <summary>The feed of a user, with the app's full key.</summary>
    public Api As(string userId) => Client(("appId", "demo"), ("apiKey", "demo-key"), ("onBehalfOf", userId));

    /// <summary>Makes another app and gives a client with a key of these scopes.</summary>
    public async Task<Api> NewAppAsync(string id, params string[] scopes)
    {
        var operate = Client(("operatorKey", OperatorKey));
        await operate.PostAsync("/api/apps", new { id, name = id });
        var key = await operate.PostAsync($"/api/apps/{id}/keys", new { name = "test", scopes = scopes.Length == 0 ? ["full"] : scopes });
        return Client(("appId", id), ("apiKey", key.Data.GetProperty("key").GetString()!));
    }

    /// <summary>Delivers everything that is ready, as a worker would, and looks after what died.</summary>
    public async Task DeliverAsync()
    {
        var worker = Services.GetRequiredService<DeliveryWorker>();
        await worker.DeliverAllAsync(CancellationToken.None);
        await worker.SweepAsync(CancellationToken.None);
        await Services.GetRequiredService<ExternalWorker>().DrainAsync(CancellationToken.None);
    }

    public async Task<T> ScalarAsync<T>(string sql, params object[] parameters)
    {
        await using var command = Db.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return (T)(await command.ExecuteScalarAsync())!;
    }

    public async Task ExecuteAsync(string sql, params object[] parameters)
    {
        await using var command = Db.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        await command.ExecuteNonQueryAsync();
    }

    private sealed class Factory(string connectionString, Dictionary<string, string> settings) : WebApplicationFactory<Program>
    {
        protected override void ConfigureWebHost(IWebHostBuilder builder)
        {
            builder.UseEnvironment("Production");
            builder.UseSetting("ConnectionStrings:Campaigns", connectionString);
            builder.UseSetting("Bootstrap:AppId", "demo").UseSetting("Bootstrap:ApiKey", "demo-key").UseSetting("Operator:Key", OperatorKey);
            builder.UseSetting("Roles", "api").UseSetting("Serilog:MinimumLevel", "Fatal");
            foreach (var (name, value) in settings) builder.UseSetting(name, value);
        }
    }

    /// <summary>The schema is made once in a run; every further database is a copy, which takes some 50 ms instead of 500.</summary>
    private static class MigratedTemplate
    {
        private static readonly Lazy<Task<string>> Name = new(MakeAsync);
        private static readonly SemaphoreSlim OneCopyAtATime = new(1);

        public static async Task<string> NewDatabaseAsync()
        {
            var postgres = await TestPostgres.SharedAsync();
            var template = await Name.Value;
            // PostgreSQL refuses to copy a database that another copy has open.
            await OneCopyAtATime.WaitAsync();
            try
            {
                return await postgres.NewDatabaseAsync(template);
            }
            finally
            {
                OneCopyAtATime.Release();
            }
        }

        private static async Task<string> MakeAsync()
        {
            var postgres = await TestPostgres.SharedAsync();
            var connection = new NpgsqlConnectionStringBuilder(await postgres.NewDatabaseAsync()) { Pooling = false };
            await using (var factory = new Factory(connection.ConnectionString, []))
            {
                using var started = factory.CreateClient();
            }
            return connection.Database!;
        }
    }
}
