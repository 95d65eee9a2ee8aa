using System.Net;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Notifications;

/// <summary>Who writes takes turns, and one turn that lasts holds up nobody who came later.</summary>
public sealed class NotificationTurnsTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_key_that_somebody_else_is_writing_holds_up_only_those_who_came_with_it()
    {
        var template = await service.Api.NewTemplateAsync(variableSchema: []);
        await using var other = await service.Db.OpenConnectionAsync();
        await using var writing = await other.BeginTransactionAsync();
        await using (var insert = new NpgsqlCommand("INSERT INTO idempotency_keys (app_no, key, digest, state, at) SELECT no, 'locked', '\\x00', 1, clock_timestamp() FROM apps WHERE id = 'demo'", other))
        {
            await insert.ExecuteNonQueryAsync();
        }
        var keyed = service.Client(("appId", "demo"), ("apiKey", "demo-key"), ("Idempotency-Key", "locked"));
        var waiting = keyed.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { "ann" } });
        await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[$1]", other.ProcessID) > 0);

        foreach (var user in (string[])["bob", "carl", "dora"])
        {
            (await service.Api.PostAsync("/api/notifications/messages", new { templateId = template, receivers = new[] { user } })).ShouldBe(HttpStatusCode.OK);
        }
        Assert.False(waiting.IsCompleted);

        await writing.RollbackAsync();
        (await waiting).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(4, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items"));
    }
}
