using CampaignService.Hosting;
using Microsoft.Extensions.Configuration;

namespace CampaignService.IntegrationTests.Hosting;

public sealed class HealthProbeTests
{
    [Theory]
    [InlineData(null, "http://localhost:5080/health/live")]
    [InlineData("http://+:5080", "http://127.0.0.1:5080/health/live")]
    [InlineData("https://+:8443;http://*:8080", "http://127.0.0.1:8080/health/live")]
    [InlineData("http://[::]:80", "http://127.0.0.1/health/live")]
    [InlineData("http://localhost:7000/base", "http://localhost:7000/base/health/live")]
    public void The_address_asked_is_the_one_the_service_listens_on(string? urls, string expected) =>
        Assert.Equal(expected, HealthProbe.LiveAddress(urls).ToString());

    [Theory]
    [InlineData(null, false)]
    [InlineData("urls", true)]
    [InlineData("http_ports", true)]
    [InlineData("https_ports", true)]
    [InlineData("Kestrel:Endpoints:Http:Url", true)]
    [InlineData("Kestrel:Limits:MaxConcurrentConnections", false)]
    public void It_listens_on_5080_unless_it_is_told_where_in_any_way(string? setting, bool isTold)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(setting is null ? [] : [new(setting, "8080")]).Build();
        Assert.Equal(("http://localhost:5080", isTold), (Platform.DefaultAddress, Platform.NamesAnAddress(configuration)));
    }
}
