using System.Globalization;
using System.Net;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.IntegrationTests.Notifications;
using CampaignService.IntegrationTests.Support;
using CampaignService.Notifications;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>Direct sends of one commit are one row of the log. Whoever reads it sees each of their events, from wherever they begin.</summary>
public sealed class EventRunTests(WebhookService service) : IClassFixture<WebhookService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task Sends_of_one_commit_are_one_row_and_every_page_and_cursor_in_it_goes_on_without_a_gap()
    {
        var before = await Api.HappenAsync();
        var sent = await SendTogetherAsync(3);
        var after = await Api.HappenAsync();
        await service.SequenceAsync();
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM events WHERE subjects @> $1", (object)sent.Select(n => n.Id).ToArray()));

        var all = await FromAsync(before);
        Assert.Equal(["campaign.cancelled", .. Enumerable.Repeat(new[] { "notification.created", "notification.completed" }, 3).SelectMany(t => t), "campaign.cancelled"], all.Types());
        Assert.Equal(sent.SelectMany(n => new[] { IdOf(n), IdOf(n) }), all.GetRange(1, 6).Select(e => e.GetProperty("data").GetProperty("id").GetString()));
        Assert.Equal(8, all.Select(Id).Distinct().Count());
        Assert.Equal(after, all[^1].GetProperty("data").GetProperty("id").GetString());

        // Page by page of every size: the same, in the same order, each event once.
        for (var limit = 1; limit <= 9; limit++) Assert.Equal(all.Select(Id), (await FromAsync(before, limit)).Select(Id));
    }

    [Fact]
    public async Task A_webhook_gets_those_it_wants_and_a_replay_gives_the_same_ones_again()
    {
        await using var receiver = await Receiver.StartAsync();
        var webhook = await Api.NewWebhookAsync(receiver.Url(), "notification.completed");
        var sent = await SendTogetherAsync(5);
        await service.DispatchAsync();
        string[] first = [.. receiver.Received.Select(r => r.Id).Order(StringComparer.Ordinal)];
        Assert.Equal(5, first.Length);
        Assert.All(receiver.Received, r => Assert.Equal("notification.completed", r.Json.GetProperty("type").GetString()));
        Assert.Equal(sent.Select(IdOf).Order(StringComparer.Ordinal), receiver.Received.Select(r => r.Json.GetProperty("data").GetProperty("id").GetString()!).Order(StringComparer.Ordinal));

        var (from, to) = (DateTimeOffset.UnixEpoch.ToString("O", CultureInfo.InvariantCulture), "2999-01-01T00:00:00Z");
        var replayed = (await Api.PostAsync($"/api/webhooks/{webhook.Id()}/replay", new { from, to })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("queued").GetInt32();
        await service.DispatchAsync();
        Assert.Equal(5 + replayed, receiver.Received.Count);
        Assert.Equal(2, receiver.Received.GroupBy(r => r.Id).Where(g => first.Contains(g.Key)).Select(g => g.Count()).Distinct().Single());
    }

    [Fact]
    public async Task What_a_process_of_the_version_before_has_sent_is_told_too()
    {
        var before = await Api.HappenAsync();
        var sent = Assert.Single(await SendTogetherAsync(1));
        await service.ExecuteAsync("DELETE FROM outbox_runs");
        await service.ExecuteAsync("INSERT INTO outbox_events (app_no, type, subject) SELECT no, 20, $1 FROM apps WHERE id = 'demo'", sent.Id);
        await service.SequenceAsync();
        var all = await FromAsync(before);
        Assert.Equal(["campaign.cancelled", "notification.created", "notification.completed"], all.Types());
        Assert.All(all.Skip(1), e => Assert.Equal(IdOf(sent), e.GetProperty("data").GetProperty("id").GetString()));
    }

    [Fact]
    public async Task However_many_wait_a_transaction_numbers_some_thousand_and_all_are_numbered()
    {
        await service.SequenceAsync();
        await service.ExecuteAsync("INSERT INTO outbox_runs (app_no, subjects) SELECT -1, (SELECT array_agg(k) FROM generate_series(1, 200) AS k) FROM generate_series(1, 20)");
        Assert.Equal(8_000, await service.SequenceAsync());
        Assert.Equal(8_000, await service.ScalarAsync<long>("SELECT sum(2 * cardinality(subjects)) FROM events WHERE app_no = -1"));
        Assert.Equal(1_200, await service.ScalarAsync<long>("SELECT max(n) FROM (SELECT sum(2 * cardinality(subjects)) AS n FROM events WHERE app_no = -1 GROUP BY xmin::text) AS t"));
        // No two events share a place.
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM (SELECT seq - lag(seq) OVER (ORDER BY seq) - 2 * cardinality(subjects) AS room FROM events WHERE app_no = -1) AS t WHERE room < 0"));
    }

    /// <summary>What was taken stays in the tables until they are vacuumed: whoever read them whole would take longer with each turn.</summary>
    [Fact]
    public async Task What_waits_is_found_along_the_index_and_the_outbox_is_never_read_whole()
    {
        // Of its own: what other tests have read is counted late.
        var own = new TestService();
        await own.InitializeAsync();
        try
        {
            for (var turn = 0; turn < 5; turn++)
            {
                await own.ExecuteAsync("INSERT INTO outbox_runs (app_no, subjects) VALUES (-2, ARRAY[1, 2]), (-2, ARRAY[3])");
                await own.ExecuteAsync("INSERT INTO outbox_events (app_no, type, subject) VALUES (-2, 7, 1)");
                Assert.Equal(7, await own.SequenceAsync());
            }
            // A session tells of its reading a second later, of all of it together.
            await Eventually.HoldsAsync(async () => await own.SequenceAsync() == 0 && await ScansAsync("idx_scan") >= 12);
            Assert.Equal(0, await ScansAsync("seq_scan"));
        }
        finally
        {
            await own.DisposeAsync();
        }

        Task<long> ScansAsync(string kind) => own.ScalarAsync<long>($"SELECT sum({kind})::bigint FROM pg_stat_user_tables WHERE relname IN ('outbox_runs', 'outbox_events')");
    }

    private static string Id(JsonElement happened) => happened.GetProperty("id").GetString()!;

    private static string IdOf(PendingNotification notification) => Ids.FromNumber(Ids.Notification, notification.Id);

    /// <summary>From when this campaign was cancelled.</summary>
    private async Task<List<JsonElement>> FromAsync(string campaign, int limit = 100)
    {
        var (all, after) = (new List<JsonElement>(), "");
        while (true)
        {
            var page = (await Api.GetAsync($"/api/events?limit={limit}{after}")).ShouldBe(HttpStatusCode.OK);
            all.AddRange(page.Data.EnumerateArray());
            if (page.Json.GetProperty("meta").GetProperty("next").GetString() is not { } next) break;
            after = $"&after={next}";
        }
        return all[all.FindIndex(e => e.GetProperty("data").GetProperty("id").GetString() == campaign)..];
    }

    private async Task<PendingNotification[]> SendTogetherAsync(int count)
    {
        var template = await new PoisonedWriter(service).TemplateAsync(await Api.NewTemplateAsync(variableSchema: []));
        PendingNotification[] notifications = [.. Enumerable.Range(0, count).Select(i => PoisonedWriter.Of(template, $"user-{i}"))];
        await service.Services.GetRequiredService<NotificationStore>().StoreAsync(notifications, new NotificationIds(), isRetry: false);
        return notifications;
    }
}
