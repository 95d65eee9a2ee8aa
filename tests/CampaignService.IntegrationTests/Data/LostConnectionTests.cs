using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Data;

public sealed class LostConnectionTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task Once_ready_again_no_call_fails_because_of_a_connection_that_died()
    {
        // Several calls at once, so that several connections are in the pool; then the server ends them all.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => service.Api.GetAsync("/api/campaigns")));
        await service.ScalarAsync<long>("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        await Eventually.HoldsAsync(async () => (await service.Api.GetAsync("/health/ready")).Status == HttpStatusCode.OK);
        foreach (var answer in await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => service.Api.GetAsync("/api/campaigns")))) answer.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task While_the_database_is_away_calls_are_told_to_try_again()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        using var process = await ServiceProcess.StartAsync(connectionString, ("Roles", "api"));
        (await process.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
        var database = new Npgsql.NpgsqlConnectionStringBuilder(connectionString).Database!;
        await (await TestPostgres.SharedAsync()).ExecuteAsync($"ALTER DATABASE {database} ALLOW_CONNECTIONS false");
        await (await TestPostgres.SharedAsync()).ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
        var refused = (await process.Api.GetAsync("/api/channels")).ShouldRefuse(HttpStatusCode.ServiceUnavailable, "ERR_UNAVAILABLE");
        Assert.NotNull(refused.Headers.RetryAfter);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await process.Api.GetAsync("/health/ready")).Status);
        await (await TestPostgres.SharedAsync()).ExecuteAsync($"ALTER DATABASE {database} ALLOW_CONNECTIONS true");
        await Eventually.HoldsAsync(async () => (await process.Api.GetAsync("/health/ready")).Status == HttpStatusCode.OK);
        (await process.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
    }
}
