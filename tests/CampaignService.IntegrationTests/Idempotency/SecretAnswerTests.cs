using System.Net;
using System.Text;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Idempotency;

/// <summary>An answer that holds a secret is given again as any other is, and lies sealed until then.</summary>
public sealed class SecretAnswerTests(TestService service) : IClassFixture<TestService>
{
    private const string Made = "/api/webhooks", Rotated = "/api/webhooks/{id}/rotate-secret", Token = "/api/users/ann/tokens", AppKey = "/api/apps/demo/keys";

    private static readonly object NewHook = new { url = "https://example.com/hook", events = new[] { "*" } };

    [Theory]
    [InlineData(Made, "secret")]
    [InlineData(Rotated, "secret")]
    [InlineData(Token, "token")]
    [InlineData(AppKey, "key")]
    public async Task The_first_answer_comes_again_byte_for_byte_and_its_secret_is_not_to_be_read_in_the_database(string path, string secretMember)
    {
        var (key, body) = (NewKey(), BodyOf(path));
        path = path.Replace("{id}", await HookAsync(), StringComparison.Ordinal);
        var api = Caller(path, key);
        var first = await api.PostAsync(path, body);
        Assert.True(first.Status is HttpStatusCode.OK or HttpStatusCode.Created, first.Text);
        var second = (await api.PostAsync(path, body)).ShouldBe(first.Status);
        Assert.Equal((first.Text, first.Headers.Location), (second.Text, second.Headers.Location));
        Assert.False(first.Headers.Contains("Idempotency-Replayed"));
        Assert.Equal("true", Assert.Single(second.Headers.GetValues("Idempotency-Replayed")));

        var secret = first.Data.GetProperty(secretMember).GetString()!;
        var row = await service.ScalarAsync<string>("SELECT k::text || encode(answer, 'escape') FROM idempotency_keys k WHERE key = $1", key);
        Assert.DoesNotContain(secret, row, StringComparison.Ordinal);
        Assert.DoesNotContain(Convert.ToHexStringLower(Encoding.UTF8.GetBytes(secret)), row, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_repeated_webhook_is_made_once_and_a_secret_is_changed_once()
    {
        var (key, url) = (NewKey(), $"https://example.com/{NewKey()}");
        var made = new List<string>();
        for (var i = 0; i < 3; i++) made.Add((await Caller(Made, key).PostAsync(Made, new { url, events = new[] { "*" } })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString()!);
        Assert.Single(made.Distinct());
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM webhooks WHERE url = $1", url));

        // Changed a second time with the old one dropped, the receiver's could not be verified any more.
        var rotate = Rotated.Replace("{id}", made[0], StringComparison.Ordinal);
        var again = NewKey();
        await Caller(rotate, again).PostAsync(rotate, new { keepOldForHours = 0 });
        var stored = await service.ScalarAsync<byte[]>("SELECT secret FROM webhooks WHERE id = $1", made[0]);
        await Caller(rotate, again).PostAsync(rotate, new { keepOldForHours = 0 });
        Assert.Equal(stored, await service.ScalarAsync<byte[]>("SELECT secret FROM webhooks WHERE id = $1", made[0]));
    }

    [Fact]
    public async Task A_persons_token_goes_with_them_whoever_it_was_asked_for_on_behalf_of()
    {
        var key = NewKey();
        (await service.Api.PostAsync("/api/users", new { id = "eve" })).ShouldBe(HttpStatusCode.OK);
        var asking = service.Client(("appId", "demo"), ("apiKey", "demo-key"), ("onBehalfOf", "bob"), ("Idempotency-Key", key));
        (await asking.PostAsync("/api/users/eve/tokens", new { })).ShouldBe(HttpStatusCode.Created);
        (await service.Api.DeleteAsync("/api/users/eve")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE key = $1", key));
    }

    [Theory]
    [InlineData(Made)]
    [InlineData(Token)]
    [InlineData(AppKey)]
    public async Task Another_body_with_the_same_key_is_refused(string path)
    {
        var api = Caller(path, NewKey());
        await api.PostAsync(path, BodyOf(path));
        (await api.PostAsync(path, new { other = 1 })).ShouldRefuse(HttpStatusCode.UnprocessableEntity, "ERR_IDEMPOTENCY_KEY_REUSED");
    }

    [Fact]
    public async Task An_answer_that_cannot_be_opened_any_more_is_told_to_be_lost_and_nothing_is_done_again()
    {
        var (key, url) = (NewKey(), $"https://example.com/{NewKey()}");
        var body = new { url, events = new[] { "*" } };
        (await Caller(Made, key).PostAsync(Made, body)).ShouldBe(HttpStatusCode.Created);
        // As when the key that it was sealed with is gone from Secrets__Key.
        await service.ExecuteAsync("UPDATE idempotency_keys SET answer = set_byte(answer, 1, get_byte(answer, 1) # 255) WHERE key = $1", key);
        (await Caller(Made, key).PostAsync(Made, body)).ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_ANSWER_LOST");
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM webhooks WHERE url = $1", url));
    }

    [Fact]
    public async Task A_token_goes_from_the_database_with_the_person()
    {
        var key = NewKey();
        (await service.Api.PostAsync("/api/users", new { id = "gone" })).ShouldBe(HttpStatusCode.OK);
        await Caller("/api/users/gone/tokens", key).PostAsync("/api/users/gone/tokens");
        Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE key = $1", key));
        (await service.Api.DeleteAsync("/api/users/gone")).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys WHERE key = $1", key));
    }

    [Fact]
    public async Task The_operators_keys_are_no_apps()
    {
        var (key, id) = (NewKey(), $"shop-{NewKey()}");
        var operate = Caller(AppKey, key);
        var first = (await operate.PostAsync("/api/apps", new { id, name = "Shop" })).ShouldBe(HttpStatusCode.Created);
        Assert.Equal(first.Text, (await operate.PostAsync("/api/apps", new { id, name = "Shop" })).ShouldBe(HttpStatusCode.Created).Text);
        // The same key is a new one to an app.
        (await Caller(Made, key).PostAsync(Made, NewHook)).ShouldBe(HttpStatusCode.Created);
    }

    private static string NewKey() => Guid.NewGuid().ToString("N");

    private static object BodyOf(string path) => path switch
    {
        Made => NewHook,
        AppKey => new { name = "checkout", scopes = new[] { "send" } },
        _ => new { },
    };

    private Api Caller(string path, string key) => path.StartsWith("/api/apps", StringComparison.Ordinal)
        ? service.Client(("operatorKey", TestService.OperatorKey), ("Idempotency-Key", key))
        : service.Client(("appId", "demo"), ("apiKey", "demo-key"), ("Idempotency-Key", key));

    private async Task<string> HookAsync() => (await service.Api.PostAsync(Made, NewHook)).ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString()!;
}
