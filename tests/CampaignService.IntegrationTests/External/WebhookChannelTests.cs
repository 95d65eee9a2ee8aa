using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.External;

/// <summary>The channel of the type webhook: its settings, what it sends, and what its receiver's answers mean.</summary>
public sealed class WebhookChannelTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private const string Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync() => await _sink.DisposeAsync();

    [Fact]
    public async Task Everybody_gets_one_message_with_a_key_of_its_own_and_the_ledger_says_so()
    {
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { headers = new Dictionary<string, string> { ["X-Token"] = "t0p" }, secret = Secret });
        var id = await Api.SendToAsync(template, 1_203, missing: 3);
        await service.DeliverAsync();

        Assert.Equal("partially_failed", await Api.StatusAsync(id));
        var counts = await Api.CountsAsync(id);
        Assert.Equal((1_200, 3, 0), (counts["delivered"], counts["skipped"], counts["pending"]));
        Assert.Equal(Enumerable.Range(3, 1_200).Select(i => $"u{i:0000}"), _sink.Taken.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(1_200, _sink.Calls.Select(c => c.Key).Distinct().Count());
        var skipped = await Api.MessageAsync(id, "u0000");
        Assert.Equal(("skipped", "missing_variable", "name"), (Text(skipped, "status"), Text(skipped, "reason"), Text(skipped, "detail")));
        Assert.Equal(("delivered", 1), (Text(await Api.MessageAsync(id, "u0700"), "status"), (await Api.MessageAsync(id, "u0700")).GetProperty("attempts").GetInt32()));

        var call = _sink.Calls.First(c => c.Users.Single() == "u0007");
        Assert.Equal("Hello Name 7", Text(call.Body.GetProperty("content"), "title"));
        Assert.Equal((call.Key, id, template, 1, channel),
            (Text(call.Body, "messageId"), Text(call.Body.GetProperty("campaign"), "id"), Text(call.Body, "templateId"), call.Body.GetProperty("templateVersion").GetInt32(), Text(call.Body, "channelId")));
        Assert.StartsWith("msg_", call.Key, StringComparison.Ordinal);
        Assert.Equal("t0p", call.Headers["X-Token"]);
        var signed = Encoding.UTF8.GetBytes($"{call.Headers["webhook-id"]}.{call.Headers["webhook-timestamp"]}.{call.Body.GetRawText()}");
        Assert.Equal(call.Key, call.Headers["webhook-id"]);
        Assert.Equal("v1," + Convert.ToBase64String(HMACSHA256.HashData(Convert.FromBase64String(Secret[6..]), signed)), call.Headers["webhook-signature"]);
    }

    [Fact]
    public async Task Several_messages_go_as_an_array_with_a_key_of_its_own()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { batchSize = 40 });
        var id = await Api.SendToAsync(template, 130, missing: 1);
        await service.DeliverAsync();
        Assert.Equal([9, 40, 40, 40], _sink.Calls.Select(c => c.Messages.Count()).Order());
        Assert.Equal(129, _sink.Taken.Count);
        Assert.Equal(4, _sink.Calls.Select(c => c.Key).Distinct().Count());
        Assert.Equal(129, _sink.Calls.SelectMany(c => c.Messages).Select(m => Text(m, "messageId")).Distinct().Count());
        Assert.Equal(129, (await Api.CountsAsync(id))["delivered"]);
    }

    [Fact]
    public async Task Secrets_are_never_told_and_lie_sealed_in_the_database()
    {
        var made = (await Api.PostAsync("/api/channels", new
        {
            name = $"Sealed {Guid.NewGuid():N}",
            type = "webhook",
            settings = new { url = _sink.Url, headers = new Dictionary<string, string> { ["Authorization"] = "Bearer hidden" }, secret = Secret, ratePerSecond = 12.5 },
        })).ShouldBe(HttpStatusCode.Created);
        var settings = made.Data.GetProperty("settings");
        Assert.Equal(["url", "headers", "hasSecret", "timeoutSeconds", "maxConcurrency", "ratePerSecond", "batchSize", "onUncertain"], settings.EnumerateObject().Select(m => m.Name));
        Assert.Equal("""["Authorization"]""", settings.GetProperty("headers").GetRawText());
        Assert.Equal((10, 256, 12.5, 1, "resend"), (settings.GetProperty("timeoutSeconds").GetInt32(), settings.GetProperty("maxConcurrency").GetInt32(), settings.GetProperty("ratePerSecond").GetDouble(), settings.GetProperty("batchSize").GetInt32(), Text(settings, "onUncertain")));
        var id = Text(made.Data, "id");
        foreach (var secret in new[] { "hidden", Secret, Secret[6..] })
        {
            Assert.DoesNotContain(secret, (await Api.GetAsync($"/api/channels/{id}")).Text, StringComparison.Ordinal);
            Assert.False(await service.ScalarAsync<bool>("SELECT c::text LIKE '%' || $2 || '%' OR position(convert_to($2, 'UTF8') IN sealed) > 0 FROM channels c WHERE id = $1", id, secret));
        }

        // Who may change the channel may not have its credentials sent to a server of their own.
        var moved = await Api.PutAsync($"/api/channels/{id}", new { settings = new { url = "http://127.0.0.2/x" } });
        Assert.StartsWith("settings.headers: ", Assert.Single(moved.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
        var changed = (await Api.PutAsync($"/api/channels/{id}", new { settings = new { url = "http://127.0.0.2/x", headers = (object?)null, batchSize = 7, ratePerSecond = (double?)null } })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("settings");
        Assert.Equal((0, true, 7, JsonValueKind.Null, 10), (changed.GetProperty("headers").GetArrayLength(), changed.GetProperty("hasSecret").GetBoolean(), changed.GetProperty("batchSize").GetInt32(), changed.GetProperty("ratePerSecond").ValueKind, changed.GetProperty("timeoutSeconds").GetInt32()));
    }

    [Fact]
    public async Task Faults_of_settings_come_all_at_once()
    {
        var answer = await Api.PostAsync("/api/channels", new
        {
            name = "x",
            type = "webhook",
            settings = new
            {
                url = "http://169.254.169.254/latest",
                headers = new Dictionary<string, string> { ["Host"] = "a", ["x y"] = "b", ["ok"] = "c\r\nd" },
                secret = "short",
                timeoutSeconds = 61,
                maxConcurrency = 0,
                ratePerSecond = 0,
                batchSize = 101,
                onUncertain = "forget",
            },
        });
        Assert.Equal(
            ["batchSize", "headers.Host", "headers.ok", "headers.x y", "maxConcurrency", "onUncertain", "ratePerSecond", "secret", "timeoutSeconds", "url"],
            answer.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d["settings.".Length..d.IndexOf(':', StringComparison.Ordinal)]).Order(StringComparer.Ordinal));
        Assert.Equal(["settings.url: is required"], (await Api.PostAsync("/api/channels", new { name = "x", type = "webhook" })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
        Assert.Equal(["settings: an in_app channel takes none"], (await Api.PostAsync("/api/channels", new { name = "x", type = "in_app", settings = new { url = _sink.Url } })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details);
    }

    [Theory]
    [InlineData(400, "permanent")]
    [InlineData(422, "permanent")]
    public async Task A_refusal_is_final(int status, string reason)
    {
        _sink.AnswerWith(status);
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, 3);
        await service.DeliverAsync();
        Assert.Equal(("failed", 3), (await Api.StatusAsync(id), _sink.Calls.Count));
        var message = await Api.MessageAsync(id, "u0001");
        Assert.Equal(("failed", reason, $"HTTP {status}", 1), (Text(message, "status"), Text(message, "reason"), Text(message, "detail"), message.GetProperty("attempts").GetInt32()));

        // The message is the same one when it is tried again, and its id too.
        _sink.AnswerWith(200);
        await Api.DoAsync(id, "retry-failed");
        await service.DeliverAsync();
        Assert.Equal(("completed", 3, 6), (await Api.StatusAsync(id), _sink.Calls.Select(c => c.Key).Distinct().Count(), _sink.Calls.Count));
        Assert.Equal(("delivered", 2), (Text(await Api.MessageAsync(id, "u0001"), "status"), (await Api.MessageAsync(id, "u0001")).GetProperty("attempts").GetInt32()));
        Assert.Equal(3, (await Api.CountsAsync(id))["delivered"]);
    }

    [Fact]
    public async Task Who_is_gone_is_not_sent_to_again_until_their_profile_changes()
    {
        _sink.Answer = (call, http) =>
        {
            http.Response.StatusCode = call.Users.Contains("u0001") ? 410 : 200;
            return Task.CompletedTask;
        };
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var first = await Api.SendToAsync(template, 3);
        await service.DeliverAsync();
        Assert.Equal(("failed", "address_gone"), (Text(await Api.MessageAsync(first, "u0001"), "status"), Text(await Api.MessageAsync(first, "u0001"), "reason")));
        var calls = _sink.Calls.Count;
        var second = await Api.SendToAsync(template, 3);
        await service.DeliverAsync();
        Assert.Equal(("skipped", "address_gone"), (Text(await Api.MessageAsync(second, "u0001"), "status"), Text(await Api.MessageAsync(second, "u0001"), "reason")));
        Assert.Equal(calls + 2, _sink.Calls.Count);

        _sink.AnswerWith(200);
        (await Api.PostAsync("/api/users", new { id = "u0001", phone = "+39 06 1234" })).ShouldBe(HttpStatusCode.OK);
        var third = await Api.SendToAsync(template, 3);
        await service.DeliverAsync();
        Assert.Equal(3, (await Api.CountsAsync(third))["delivered"]);
    }

    [Fact]
    public async Task Who_is_gone_at_one_server_is_sent_to_when_the_channel_goes_to_another()
    {
        _sink.AnswerWith(410);
        await using var other = await Sink.StartAsync();
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url);
        await Api.SendToAsync(template, 2);
        await service.DeliverAsync();
        (await Api.PutAsync($"/api/channels/{channel}", new { settings = new { timeoutSeconds = 9 } })).ShouldBe(HttpStatusCode.OK);
        var same = await Api.SendToAsync(template, 2);
        await service.DeliverAsync();
        Assert.Equal(2, (await Api.CountsAsync(same))["skipped"]);

        (await Api.PutAsync($"/api/channels/{channel}", new { settings = new { url = other.Url } })).ShouldBe(HttpStatusCode.OK);
        var moved = await Api.SendToAsync(template, 2);
        await service.DeliverAsync();
        Assert.Equal((2, 2), ((await Api.CountsAsync(moved))["delivered"], other.Taken.Count));

        // Of calls that were under way when it was changed nobody knows which server it was; once they must have ended, the word of the new one counts.
        other.AnswerWith(410);
        await Api.SendToAsync(template, 1);
        await service.DeliverAsync();
        var unsure = await Api.SendToAsync(template, 1);
        await service.DeliverAsync();
        Assert.Equal(1, (await Api.CountsAsync(unsure))["failed"]);
        await service.ExecuteAsync("UPDATE channels SET server_since = server_since - interval '2 minutes' WHERE channel_id = $1", channel);
        var sure = await Api.SendToAsync(template, 1);
        await service.DeliverAsync();
        Assert.Equal(1, (await Api.CountsAsync(sure))["skipped"]);
    }

    [Fact]
    public async Task One_recipient_on_two_channels_has_two_statuses()
    {
        _sink.AnswerWith(400);
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, alsoInApp: true);
        var id = await Api.SendToAsync(template, 620);
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal("partially_failed", Text(campaign, "status"));
        var totals = campaign.GetProperty("totals");
        Assert.Equal((620, 1240, 620, 620), (totals.GetProperty("recipients").GetInt32(), totals.GetProperty("messages").GetInt32(), totals.GetProperty("delivered").GetInt32(), totals.GetProperty("failed").GetInt32()));
        Assert.Equal((0, 620), totals.GetProperty("channels").EnumerateArray().Where(c => Text(c, "channelId") == channel).Select(c => (c.GetProperty("delivered").GetInt32(), c.GetProperty("failed").GetInt32())).Single());
        var person = (await Api.GetAsync($"/api/campaigns/{id}/recipients/u0300")).Data;
        Assert.Equal(("delivered", "delivered failed"), (Text(person, "status"), string.Join(' ', person.GetProperty("channels").EnumerateArray().Select(c => Text(c, "status")).Order(StringComparer.Ordinal))));
        await Api.CountsAsync(id);

        _sink.AnswerWith(200);
        await Api.DoAsync(id, "retry-failed");
        await service.DeliverAsync();
        Assert.Equal(("completed", 620), (await Api.StatusAsync(id), _sink.Taken.Count));
        Assert.Equal(620, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE source_id = $1", await service.BatchOfAsync(id)));
    }

    [Fact]
    public async Task A_channel_disabled_in_between_is_reported_and_what_it_left_can_be_sent_when_it_is_enabled()
    {
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, 30);
        await Api.PutAsync($"/api/channels/{channel}", new { enabled = false });
        await service.DeliverAsync();
        Assert.Equal(30, (await Api.CountsAsync(id))["skipped"]);
        Assert.Equal("channel_disabled", Text(await Api.MessageAsync(id, "u0005"), "reason"));
        Assert.Empty(_sink.Calls);
        (await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = new[] { "skipped" } })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NOTHING_TO_RETRY");
        await Api.PutAsync($"/api/channels/{channel}", new { enabled = true });
        await Api.DoAsync(id, "retry-failed", new { include = new[] { "skipped" } });
        await service.DeliverAsync();
        Assert.Equal(30, (await Api.CountsAsync(id))["delivered"]);
    }

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;
}
