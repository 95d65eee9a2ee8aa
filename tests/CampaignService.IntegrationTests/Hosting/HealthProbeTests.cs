using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Hosting;

public sealed class HealthProbeTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public void A_service_that_is_told_no_address_listens_where_the_probe_looks() =>
        Assert.Equal("http://localhost:5080", service.Services.GetRequiredService<IConfiguration>()["urls"]);

    [Theory]
    [InlineData(null, "http://localhost:5080/health/live")]
    [InlineData("http://+:5080", "http://127.0.0.1:5080/health/live")]
    [InlineData("https://+:8443;http://*:8080", "http://127.0.0.1:8080/health/live")]
    [InlineData("http://[::]:80", "http://127.0.0.1/health/live")]
    [InlineData("http://localhost:7000/base", "http://localhost:7000/base/health/live")]
    public void The_address_asked_is_the_one_the_service_listens_on(string? urls, string expected) =>
        Assert.Equal(expected, HealthProbe.LiveAddress(urls).ToString());
}
