using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>An event comes at least once, whatever dies in between, and each time with the same id.</summary>
public sealed class WebhookCrashTests
{
    [Fact]
    public async Task Killed_between_the_claim_and_the_answer_the_event_comes_again_with_its_id()
    {
        await using var receiver = await Receiver.StartAsync();
        var (arrived, never) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), new TaskCompletionSource());
        receiver.Answer("/", async http =>
        {
            arrived.TrySetResult();
            await never.Task.WaitAsync(http.RequestAborted);
        });
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        (string, string)[] settings = [("Webhooks__AllowPrivateNetworks", "true")];
        string campaign, secret;
        using (var service = await ServiceProcess.StartAsync(connectionString, settings))
        {
            secret = (await service.Api.NewWebhookAsync(receiver.Url(), "campaign.cancelled")).Secret();
            campaign = await service.Api.HappenAsync();
            await arrived.Task.WaitAsync(TimeSpan.FromMinutes(1));
            await service.KillAsync();
        }
        receiver.Answer("/", 204);
        // Nobody else takes it while the lease lasts; that is let run out here.
        Assert.Equal(1L, await ScalarAsync(db, "SELECT count(*) FROM webhook_deliveries WHERE lease_until > clock_timestamp()"));
        await ScalarAsync(db, "WITH u AS (UPDATE webhook_deliveries SET lease_until = clock_timestamp() RETURNING 1) SELECT count(*) FROM u");
        using (var service = await ServiceProcess.StartAsync(connectionString, settings))
        {
            await Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT count(*) FROM webhook_deliveries") == 0);
        }
        Assert.Equal(2, receiver.Received.Count);
        Assert.Single(receiver.Received.Select(r => r.Id).Distinct());
        Assert.All(receiver.Received, r => Assert.Equal(campaign, r.Json.GetProperty("data").GetProperty("id").GetString()));
        Assert.True(CampaignService.Webhooks.WebhookSecret.IsValid(secret));
    }

    /// <summary>The processes are killed again and again while events are numbered and delivered: each comes, and none has two ids.</summary>
    [Fact]
    public async Task Killed_again_and_again_while_it_works_nothing_is_lost()
    {
        const int campaigns = 60;
        await using var receiver = await Receiver.StartAsync();
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        (string, string)[] settings = [("Webhooks__AllowPrivateNetworks", "true")];
        var made = new List<string>();
        for (var life = 0; made.Count < campaigns; life++)
        {
            using var service = await ServiceProcess.StartAsync(connectionString, settings);
            if (life == 0) await service.Api.NewWebhookAsync(receiver.Url(), "*");
            var before = receiver.Received.Count;
            for (var i = 0; i < campaigns / 3; i++) made.Add(await service.Api.HappenAsync());
            await Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT 1::bigint") == 1 && receiver.Received.Count > before);
            await service.KillAsync();
            await ScalarAsync(db, "WITH u AS (UPDATE webhook_deliveries SET lease_until = NULL RETURNING 1) SELECT count(*) FROM u");
        }
        using (var service = await ServiceProcess.StartAsync(connectionString, settings))
        {
            await Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT (SELECT count(*) FROM outbox_events) + (SELECT count(*) FROM outbox_runs) + (SELECT count(*) FROM webhook_deliveries)") == 0, TimeSpan.FromMinutes(3));
        }
        var came = receiver.Received.GroupBy(r => r.Json.GetProperty("data").GetProperty("id").GetString()!).ToDictionary(g => g.Key, g => g.Select(r => r.Id).Distinct().Count());
        Assert.Equal(made.Order(StringComparer.Ordinal), came.Keys.Order(StringComparer.Ordinal));
        Assert.All(came.Values, ids => Assert.Equal(1, ids));
    }

    private static async Task<long> ScalarAsync(NpgsqlDataSource db, string sql)
    {
        await using var command = db.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
