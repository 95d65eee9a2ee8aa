using System.Net;
using CampaignService.IntegrationTests.Support;

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
}
