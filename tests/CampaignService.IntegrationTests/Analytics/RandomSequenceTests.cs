using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Analytics;

/// <summary>Whatever is done, in whatever order: after each step every answer equals a recount of the rows.</summary>
public sealed class RandomSequenceTests(AnalyticsService service) : IClassFixture<AnalyticsService>
{
    private static readonly string[] Tags = ["spring", "orders"];

    private readonly Recount _recount = new(service);
    private readonly List<string> _campaigns = [];
    private Random _random = Random.Shared;
    private string[] _templates = [];
    private string _off = "";
    private int _hoursPassed;

    private Api Api => service.Api;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task After_every_step_every_answer_equals_a_recount(int seed)
    {
        _random = new Random(seed);
        (var two, _off, _) = await Api.NewTwoChannelTemplateAsync();
        _templates = [await Api.NewTemplateAsync(), await Api.NewTemplateAsync(variableSchema: []), two];
        for (var step = 0; step < 45; step++)
        {
            var (what, act) = Steps()[_random.Next(Steps().Length)];
            await act();
            try
            {
                await _recount.ShouldEqualEveryAnswerAsync(step);
                await _recount.ShouldEqualTheAnswerOfAsync(User());
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"After step {step}, {what}: {e.Message}", e);
            }
        }
        await DropFeedAsync();
        await _recount.ShouldEqualEveryAnswerAsync(0);
        await service.RollUpAsync();
        for (var window = 0; window < 4; window++) await _recount.ShouldEqualEveryAnswerAsync(window);
    }

    private (string What, Func<Task> Act)[] Steps() =>
    [
        ("a campaign", () => SendAsync(_random.Next(1, 30))),
        ("a campaign", () => SendAsync(_random.Next(1, 30))),
        ("a large campaign", () => SendAsync(4_100)),
        ("one chunk delivered", DeliverOneAsync),
        ("one chunk delivered", DeliverOneAsync),
        ("all delivered", service.DeliverAsync),
        ("a worker's death", DieAsync),
        ("pause", () => ControlAsync("pause")),
        ("resume", () => ControlAsync("resume")),
        ("stop", () => ControlAsync("stop")),
        ("cancel", () => ControlAsync("cancel")),
        ("retry", () => ControlAsync("retry-failed", new { include = new[] { "failed", "skipped" } })),
        ("retry", () => ControlAsync("retry-failed", new { include = new[] { "failed", "skipped" } })),
        ("a direct notification to few", () => NotifyAsync(_random.Next(1, 11))),
        ("a direct notification to few", () => NotifyAsync(_random.Next(1, 11))),
        ("a direct notification to many", () => NotifyAsync(_random.Next(11, 30))),
        ("a channel switched", () => Api.PutAsync($"/api/channels/{_off}", new { enabled = _random.Next(2) == 0 })),
        ("marks", MarkAsync),
        ("marks", MarkAsync),
        ("marks", MarkAsync),
        ("an erasure", () => Api.DeleteAsync($"/api/users/{User()}")),
        ("a roll-up", () => service.RollUpAsync()),
        ("two roll-ups at once", () => Task.WhenAll(service.RollUpAsync(3), service.RollUpAsync(5))),
        ("time passing", PassTimeAsync),
    ];

    private string User() => $"u{_random.Next(30):000000}";

    private string? Tag() => _random.Next(3) is < 2 and var i ? Tags[i] : null;

    private async Task SendAsync(int recipients)
    {
        var template = _random.Next(3);
        var campaign = await Api.PostAsync("/api/campaigns", new { name = "Test", templateId = _templates[template], tag = Tag() });
        var id = campaign.ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString()!;
        var ids = Enumerable.Range(0, recipients).Select(i => $"u{i:000000}").ToArray();
        // The first template asks for a name, which not everybody has.
        var names = template == 0 ? ids.Where(_ => _random.Next(3) > 0).ToDictionary(user => user, _ => new { name = "Ann" }) : [];
        (await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = ids, userVariables = names })).ShouldBe(HttpStatusCode.Created);
        await Api.DoAsync(id, "send");
        _campaigns.Add(id);
    }

    private async Task NotifyAsync(int receivers)
    {
        // Few are not sent to without the name.
        var answer = await Api.PostAsync("/api/notifications/messages", new
        {
            templateId = _templates[_random.Next(receivers > 10 ? 0 : 1, 3)],
            receivers = Enumerable.Range(_random.Next(20), receivers).Select(i => $"u{i:000000}"),
            tag = Tag(),
        });
        answer.ShouldBe(receivers > 10 ? HttpStatusCode.Accepted : HttpStatusCode.OK);
    }

    private async Task DeliverOneAsync()
    {
        if (await service.ClaimAsync() is { } chunk) await service.ProcessAsync(chunk);
    }

    private async Task DieAsync()
    {
        for (var start = 0; start < 3; start++)
        {
            await service.ClaimAndBeginAsync();
            await service.ExpireLeasesAsync();
        }
    }

    /// <summary>On any campaign, allowed or not.</summary>
    private async Task ControlAsync(string verb, object? body = null)
    {
        if (_campaigns.Count == 0) return;
        var answer = await Api.PostAsync($"/api/campaigns/{_campaigns[_random.Next(_campaigns.Count)]}/{verb}", body);
        Assert.True((int)answer.Status is 200 or 202 or 409, answer.Text);
    }

    private async Task MarkAsync()
    {
        for (var i = 0; i < 5; i++)
        {
            var user = service.As(User());
            var items = (await user.GetAsync("/api/notification-feed?limit=5")).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray().Select(item => item.GetProperty("id").GetString()!).ToArray();
            if (items.Length == 0) continue;
            var item = $"/api/notification-feed/{items[_random.Next(items.Length)]}";
            var answer = _random.Next(8) switch
            {
                0 => await user.PostAsync($"{item}/delivered"),
                1 or 2 => await user.PostAsync($"{item}/read"),
                3 => await user.PostAsync("/api/notification-feed/read-all"),
                4 => await user.DeleteAsync(item),
                var n => await user.PostAsync($"{item}/engagement", new { topic = n == 5 ? "clicked" : $"way-{_random.Next(3)}" }),
            };
            Assert.True((int)answer.Status is 200 or 204, answer.Text);
        }
    }

    /// <summary>All that was is longer ago. A notification's row is counted when it is written, so a few are written as if they had been.</summary>
    private async Task PassTimeAsync()
    {
        if (_hoursPassed > 400) return;
        _hoursPassed += 13;
        var span = TimeSpan.FromMinutes(_random.Next(13 * 60));
        await service.ExecuteAsync("UPDATE chunks SET cut_at = cut_at - $1, done_at = done_at - $1", span);
        await service.ExecuteAsync("UPDATE feed_items SET delivered_at = delivered_at - $1, read_at = read_at - $1, engaged_at = engaged_at - $1", span);
        await service.ExecuteAsync("""
            INSERT INTO notifications (app_no, id, mode, status, template_id, template_version, template_slug, tag, receivers, duplicates, user_ids, user_vars, channel_nos, created_at, completed_at)
            SELECT app_no, next_id(), mode, status, template_id, template_version, template_slug, tag, receivers, duplicates, user_ids, user_vars, channel_nos, created_at - $1, completed_at
            FROM (SELECT * FROM notifications WHERE mode = 1 ORDER BY id DESC LIMIT 3) AS newest
            """, span);
    }

    /// <summary>As retention does it, with all that there is.</summary>
    private async Task DropFeedAsync()
    {
        await service.ExecuteAsync("INSERT INTO gone SELECT * FROM feed_items");
        await service.ExecuteAsync("""
            DO $$ DECLARE partition regclass; BEGIN
              FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'feed_items'::regclass LOOP EXECUTE 'DROP TABLE ' || partition; END LOOP;
            END $$
            """);
        await service.ExecuteAsync("SELECT create_feed_partitions(3)");
    }
}
