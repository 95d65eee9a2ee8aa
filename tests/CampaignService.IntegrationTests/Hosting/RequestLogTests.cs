using System.Net;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Hosting;

/// <summary>What a process in Production writes about requests.</summary>
public sealed class RequestLogTests
{
    [Fact]
    public async Task A_request_leaves_a_line_and_of_direct_sends_only_those_that_fail()
    {
        using var service = await ServiceProcess.StartAsync(await (await TestPostgres.SharedAsync()).NewDatabaseAsync());
        var template = await service.Api.NewTemplateAsync();
        (await service.Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" }, variables = new { ann = new { name = "Ann" } } })).ShouldBe(HttpStatusCode.OK);
        (await service.Api.PostAsync("/api/notifications/messages", new { templateId = "none", receivers = new[] { "ann" } })).ShouldBe(HttpStatusCode.NotFound);
        await service.StopAsync();

        Assert.Single(service.Log, line => line.Contains("\"Route\":\"api/templates\"", StringComparison.Ordinal));
        var sends = service.Log.Where(line => line.Contains("\"Route\":\"/api/notifications/messages\"", StringComparison.Ordinal)).ToArray();
        Assert.Contains("\"Status\":404", Assert.Single(sends), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_fault_within_a_request_is_told_without_the_users_id_in_its_path()
    {
        var database = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        using var service = await ServiceProcess.StartAsync(database);
        await using (var source = NpgsqlDataSource.Create(database))
        {
            await using var breaking = source.CreateCommand("ALTER TABLE users RENAME TO elsewhere");
            await breaking.ExecuteNonQueryAsync();
        }
        (await service.Api.GetAsync("/api/users/ann-of-the-path")).ShouldRefuse(HttpStatusCode.InternalServerError, "ERR_OPERATION_FAILED");
        await service.StopAsync();

        Assert.Contains(service.Log, line => line.Contains("ERR_OPERATION_FAILED", StringComparison.Ordinal) && line.Contains("\"TraceId\"", StringComparison.Ordinal));
        Assert.DoesNotContain(service.Log, line => line.Contains("ann-of-the-path", StringComparison.Ordinal));
    }
}
