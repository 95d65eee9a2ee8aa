using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.External;

/// <summary>Real processes, killed with <c>kill -9</c> again and again while they send.</summary>
public sealed class ExternalKillTests(ExternalService service) : IClassFixture<ExternalService>
{
    private const int Recipients = 6_000, Kills = 4, AtOnce = 64, PerSecond = 300;

    [Fact]
    public async Task Nobody_is_lost_and_who_got_it_twice_was_uncertain_before_and_got_it_with_the_same_key()
    {
        await using var sink = await Sink.StartAsync();
        var (template, _) = await service.Api.NewWebhookAsync(sink.Url, new { maxConcurrency = AtOnce, ratePerSecond = PerSecond, timeoutSeconds = 1 });
        var id = await service.Api.SendToAsync(template, Recipients);
        for (var kill = 0; kill < Kills; kill++)
        {
            using var worker = await StartAsync();
            var calls = sink.Calls.Count;
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT 1::bigint") == 1 && sink.Calls.Count > calls + 100);
            await worker.KillAsync();
        }
        using (var last = await StartAsync())
        {
            await Eventually.HoldsAsync(async () => await service.Api.StatusAsync(id) == "completed", TimeSpan.FromMinutes(3));
            await last.StopAsync();
        }
        Assert.Equal(Recipients, (await service.Api.CountsAsync(id))["delivered"]);
        var times = sink.Calls.GroupBy(c => c.Users.Single()).ToDictionary(g => g.Key, g => (Calls: g.Count(), Keys: g.Select(c => c.Key).Distinct().Count()));
        Assert.Equal(Recipients, times.Count);
        Assert.All(times.Values, t => Assert.Equal(1, t.Keys));
        string[] twice = [.. times.Where(t => t.Value.Calls > 1).Select(t => t.Key)];
        // Each of them has been listed as uncertain, of which the row stays.
        Assert.Equal(twice.Length, (int)await service.ScalarAsync<long>("SELECT count(*) FROM recipient_exceptions WHERE user_id = ANY ($1) AND attempts > 1", (object)twice));
        // At most what the limit lets begin in a second, for each chunk in hand at each kill, and the calls under way.
        Assert.InRange(twice.Length, 0, Kills * ((2 * PerSecond) + AtOnce));
    }

    private Task<ServiceProcess> StartAsync() =>
        ServiceProcess.StartAsync(service.ConnectionString, ("Roles", "worker"), ("Channels__AllowPrivateNetworks", "true"), ("Channels__FirstRetry", "00:00:00.100"));
}
