using System.Diagnostics.Metrics;
using System.Net;
using CampaignService.Common;
using CampaignService.Hosting;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.Configuration;

namespace CampaignService.IntegrationTests.Hosting;

/// <summary>Other tests of this process count, too, so nothing here is ever less than what was done here.</summary>
public sealed class MetricsTests(TestService service) : IClassFixture<TestService>
{
    private static readonly (string, string) InApp = ("channel_type", "in_app");

    [Fact]
    public async Task It_is_the_text_format_of_Prometheus()
    {
        (await service.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
        var answer = (await service.Client().GetAsync("/metrics")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal("text/plain", answer.ContentType);
        var types = PrometheusText.Parse(answer.Text).Types;
        Assert.Equal(("counter", "counter", "counter", "gauge"),
            (types["campaigns_messages_total"], types["campaigns_chunks_total"], types["campaigns_launches_total"], types["campaigns_stuck_work"]));
        Assert.Equal(("histogram", "gauge", "counter", "gauge"),
            (types["http_server_request_duration_seconds"], types["db_client_connection_count"], types["dotnet_process_cpu_time_seconds_total"], types["dotnet_process_memory_working_set_bytes"]));
    }

    [Fact]
    public async Task A_delivery_is_counted()
    {
        var before = await ReadAsync();
        var id = await service.Api.DraftAsync(3);
        await service.Api.DoAsync(id, "send");
        await service.DeliverAsync();
        var after = await ReadAsync();
        Assert.InRange(after["campaigns_messages_total", InApp, ("status", "delivered")], before["campaigns_messages_total", InApp, ("status", "delivered")] + 3, double.MaxValue);
        Assert.InRange(after["campaigns_chunks_total", ("result", "closed")], before["campaigns_chunks_total", ("result", "closed")] + 1, double.MaxValue);
        Assert.InRange(after["campaigns_launches_total"], before["campaigns_launches_total"] + 1, double.MaxValue);
    }

    [Fact]
    public async Task Requests_are_counted_by_route_and_never_by_path()
    {
        var id = await service.Api.DraftAsync(1);
        await service.Api.CampaignAsync(id);
        var metrics = await ReadAsync();
        (string, string)[] labels = [("http_request_method", "GET"), ("http_response_status_code", "200"), ("http_route", "api/campaigns/{id}")];
        var count = metrics["http_server_request_duration_seconds_count", labels];
        Assert.InRange(count, 1, double.MaxValue);
        Assert.Equal(count, metrics["http_server_request_duration_seconds_bucket", [.. labels, ("le", "+Inf")]]);
        Assert.InRange(metrics["http_server_request_duration_seconds_bucket", [.. labels, ("le", "0.1")]], 0, count);
        Assert.DoesNotContain(metrics.Series, s => s.Contains(id, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_pools_are_told_apart_without_saying_where_the_database_is()
    {
        await service.DeliverAsync();
        var pools = (await ReadAsync()).Series.Where(s => s.StartsWith("db_client_connection_max", StringComparison.Ordinal)).ToList();
        Assert.Contains(pools, p => p.EndsWith("=service", StringComparison.Ordinal));
        Assert.Contains(pools, p => p.EndsWith("=delivery", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("worker")]
    [InlineData("scheduler")]
    [InlineData("dashboard")]
    public async Task Every_role_serves_it(string role)
    {
        var one = new OneRole(role);
        await one.InitializeAsync();
        try
        {
            PrometheusText.Parse((await one.Client().GetAsync("/metrics")).ShouldBe(HttpStatusCode.OK).Text);
        }
        finally
        {
            await one.DisposeAsync();
        }
    }

    [Fact]
    public void What_has_not_happened_yet_is_0()
    {
        using var metrics = Empty();
        var parsed = PrometheusText.Parse(metrics.Text());
        foreach (var result in (string[])["closed", "abandoned", "given_back", "rescued", "set_aside"]) Assert.Contains($"campaigns_chunks_total|result={result}", parsed.Series);
        Assert.Contains("campaigns_launches_total", parsed.Series);
    }

    [Fact]
    public void Whatever_stands_in_a_label_or_a_description_is_escaped()
    {
        using var metrics = Empty();
        using var meter = new Meter(Telemetry.MeterName);
        const string odd = "a\"b\\n\nc,d=\"e\"}";
        meter.CreateCounter<int>("test.odd", description: "two\nlines \\ and more").Add(2, new KeyValuePair<string, object?>("status", odd));
        Assert.Equal(2, PrometheusText.Parse(metrics.Text())["test_odd_total", ("status", odd)]);
    }

    [Fact]
    public void A_gauge_tells_the_last_value_an_up_and_down_counter_its_sum_and_a_histogram_how_many_were_up_to_each_bound()
    {
        using var metrics = Empty();
        using var meter = new Meter(Telemetry.MeterName);
        var (gauge, upDown, histogram) = (meter.CreateGauge<double>("test.gauge"), meter.CreateUpDownCounter<long>("test.inside"), meter.CreateHistogram<double>("test.time", "s"));
        foreach (var value in (double[])[3, 1.5]) gauge.Record(value);
        foreach (var value in (long[])[3, -1]) upDown.Add(value);
        foreach (var value in (double[])[0.005, 0.3, 0.5, 60]) histogram.Record(value);
        var parsed = PrometheusText.Parse(metrics.Text());
        Assert.Equal((1.5, 2), (parsed["test_gauge"], parsed["test_inside"]));
        Assert.Equal([1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 4],
            ((string[])["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]).Select(le => parsed["test_time_seconds_bucket", ("le", le)]));
        Assert.Equal((60.805, 4), (parsed["test_time_seconds_sum"], parsed["test_time_seconds_count"]));
    }

    [Fact]
    public void However_many_values_a_label_takes_the_series_are_bounded_and_nothing_goes_uncounted()
    {
        using var metrics = Empty();
        using var meter = new Meter(Telemetry.MeterName);
        var counter = meter.CreateCounter<long>("test.many");
        for (var i = 0; i < 3 * Metrics.MaxSeries; i++) counter.Add(1, new("status", i), new KeyValuePair<string, object?>("user_id", i));
        var series = PrometheusText.Parse(metrics.Text());
        var names = series.Series.Where(s => s.StartsWith("test_many_total", StringComparison.Ordinal)).ToList();
        Assert.Equal(Metrics.MaxSeries + 1, names.Count);
        Assert.Equal(2 * Metrics.MaxSeries, series["test_many_total", ("overflow", "true")]);
        Assert.DoesNotContain(names, n => n.Contains("user_id", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_observed_no_more_is_told_no_more()
    {
        using var metrics = Empty();
        using var meter = new Meter(Telemetry.MeterName);
        IEnumerable<Measurement<long>> seen = [new(1, new KeyValuePair<string, object?>("status", "here"))];
        meter.CreateObservableGauge("test.seen", () => seen);
        Assert.Equal(1, PrometheusText.Parse(metrics.Text())["test_seen", ("status", "here")]);
        seen = [];
        Assert.DoesNotContain(PrometheusText.Parse(metrics.Text()).Series, s => s.StartsWith("test_seen", StringComparison.Ordinal));
    }

    private static Metrics Empty() => new(new ConfigurationBuilder().Build());

    private async Task<PrometheusText> ReadAsync() => PrometheusText.Parse((await service.Client().GetAsync("/metrics")).ShouldBe(HttpStatusCode.OK).Text);

    private sealed class OneRole(string role) : TestService
    {
        protected override Dictionary<string, string> Settings => new() { ["Roles"] = role };
    }
}

/// <summary>Whoever does not want to show them to everybody sets a key.</summary>
public sealed class MetricsKeyTests(MetricsKeyTests.Locked service) : IClassFixture<MetricsKeyTests.Locked>
{
    private const string Key = "metrics-key";

    [Theory]
    [InlineData("Authorization", "Bearer " + Key)]
    [InlineData("Authorization", "bearer " + Key)]
    [InlineData("metricsKey", Key)]
    public async Task The_key_opens_them(string header, string value) => (await service.Client((header, value)).GetAsync("/metrics")).ShouldBe(HttpStatusCode.OK);

    [Theory]
    [InlineData("Authorization", "Bearer " + Key + "x")]
    [InlineData("Authorization", "Bearer")]
    [InlineData("Authorization", Key)]
    [InlineData("Authorization", "Basic " + Key)]
    [InlineData("metricsKey", "metrics-kex")]
    [InlineData("metricsKey", "")]
    [InlineData("apiKey", "demo-key")]
    public async Task Anything_else_does_not(string header, string value)
    {
        var refused = (await service.Client((header, value)).GetAsync("/metrics")).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        Assert.Equal("Bearer", refused.Headers.WwwAuthenticate.ToString());
    }

    public sealed class Locked : TestService
    {
        protected override Dictionary<string, string> Settings => new() { ["Metrics:Key"] = Key };
    }
}
