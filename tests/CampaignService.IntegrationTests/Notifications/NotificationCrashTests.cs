using System.Net;
using System.Text;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;
using CampaignService.Notifications;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Notifications;

/// <summary>What is answered is there, and what is repeated with its key is there once, whatever dies in between.</summary>
public sealed class NotificationCrashTests
{
    private const int Keys = 400;

    [Fact]
    public async Task Killed_while_it_answers_nothing_answered_is_lost_and_nothing_repeated_is_sent_twice()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        var answers = new Dictionary<int, string>();
        string? template = null;
        for (var life = 0; life < 4 || answers.Count < Keys; life++)
        {
            using var service = await ServiceProcess.StartAsync(connectionString);
            template ??= await service.Api.NewTemplateAsync(variableSchema: []);
            // All that are not answered yet, at once; in the first lives the process is killed when some are.
            var open = Enumerable.Range(0, Keys).Where(i => !answers.ContainsKey(i)).Select(i => SendAsync(service.Api, template, i)).ToList();
            var stopAt = life < 3 ? 30 : int.MaxValue;
            for (var answered = 0; open.Count > 0; answered++)
            {
                var done = await Task.WhenAny(open);
                open.Remove(done);
                if (await done is var (i, text)) answers.Add(i, text);
                if (answered == stopAt) service.Kill();
            }
            if (life >= 3) break;
        }

        Assert.Equal(Keys, answers.Count);
        Assert.Equal(Keys, answers.Values.Distinct().Count());
        await using var reader = await db.CreateCommand("SELECT user_id, count(*), min(source_id) FROM feed_items GROUP BY user_id").ExecuteReaderAsync();
        var rows = new Dictionary<string, (long Count, string Id)>();
        while (await reader.ReadAsync()) rows[reader.GetString(0)] = (reader.GetInt64(1), $"ntf_{reader.GetInt64(2):x16}");
        foreach (var (i, text) in answers) Assert.Equal((1, JsonDocument.Parse(text).RootElement.GetProperty("data").GetProperty("notificationId").GetString()), rows[$"user-{i}"]);
    }

    [Fact]
    public async Task A_connection_that_breaks_in_the_middle_of_a_write_costs_nobody_anything()
    {
        var service = new TestService();
        await service.InitializeAsync();
        var template = await service.Api.NewTemplateAsync(variableSchema: []);
        // The first write of all ends its own connection.
        await service.ExecuteAsync("CREATE SEQUENCE breaks");
        await service.ExecuteAsync("""
            CREATE FUNCTION break_once() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF nextval('breaks') = 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$
            """);
        await service.ExecuteAsync("CREATE TRIGGER break_once BEFORE INSERT ON feed_items FOR EACH ROW EXECUTE FUNCTION break_once()");
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => SendAsync(service.Api, template, i)));
        Assert.All(answers, a => Assert.NotNull(a));
        Assert.Equal(10, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items"));
        Assert.Equal(10, await service.ScalarAsync<long>("SELECT count(*) FROM notifications"));
        await service.DisposeAsync();
    }

    [Fact]
    public async Task A_write_whose_commit_was_made_after_all_is_not_made_again()
    {
        var service = new TestService();
        await service.InitializeAsync();
        var poisoned = new PoisonedWriter(service);
        var template = await poisoned.TemplateAsync(await service.Api.NewTemplateAsync(variableSchema: []));
        var store = service.Services.GetRequiredService<NotificationStore>();
        var request = new CampaignService.Idempotency.IdempotentRequest(template.Version.AppNo, "key", [1, 2, 3]);
        PendingNotification[] first = [PoisonedWriter.Of(template, "keyed", request), PoisonedWriter.Of(template, "plain")];
        await store.StoreAsync(first, new NotificationIds(), isRetry: false);

        // The same ones once more, as after a connection that broke before the answer to COMMIT came.
        PendingNotification[] again = [PoisonedWriter.Of(template, "keyed", request), PoisonedWriter.Of(template, "plain")];
        for (var i = 0; i < again.Length; i++) again[i].Name(first[i].Id);
        await store.StoreAsync(again, new NotificationIds(), isRetry: true);

        foreach (var notification in again)
        {
            notification.Tell();
            Assert.False((await notification.Done).Replayed);
        }
        Assert.Equal(2, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items"));
        await service.DisposeAsync();
    }

    private static async Task<(int Key, string Answer)?> SendAsync(Api api, string template, int i)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/notifications/messages")
        {
            Content = new StringContent(JsonSerializer.Serialize(new { templateId = template, receivers = new[] { $"user-{i}" } }), Encoding.UTF8, "application/json"),
        };
        request.Headers.Add("Idempotency-Key", $"order-{i}");
        try
        {
            using var response = await api.Http.SendAsync(request);
            return response.StatusCode == HttpStatusCode.OK ? (i, await response.Content.ReadAsStringAsync()) : null;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return null;
        }
    }
}
