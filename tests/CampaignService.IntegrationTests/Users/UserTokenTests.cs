using System.Net;
using CampaignService.IntegrationTests.Support;
using CampaignService.IntegrationTests.Tenancy;
using CampaignService.Users;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Users;

public sealed class UserTokenTests(TestService service) : IClassFixture<TestService>
{
    private const string Feed = "/api/notification-feed";

    [Fact]
    public async Task A_token_alone_reads_the_feed_of_its_user_and_of_nobody_else()
    {
        var campaign = await service.Api.NewCampaignAsync(variables: new { name = "all" });
        await service.Api.PostAsync($"/api/campaigns/{campaign}/recipients", new { userIds = new[] { "zoë 日本" } });
        await service.Api.DoAsync(campaign, "send");
        await service.DeliverAsync();

        var user = Bearer(await TokenAsync("zoë 日本"));
        var item = Assert.Single((await user.GetAsync(Feed)).ShouldBe(HttpStatusCode.OK).Data.EnumerateArray()).GetProperty("id").GetString();
        (await user.PostAsync($"{Feed}/{item}/read")).ShouldBe(HttpStatusCode.OK);
        (await Bearer(await TokenAsync("other")).GetAsync($"{Feed}/{item}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Another_user_named_beside_a_token_is_refused_and_its_own_is_fine()
    {
        var token = await TokenAsync("mine");
        (await Bearer(token, ("onBehalfOf", " mine ")).GetAsync(Feed)).ShouldBe(HttpStatusCode.OK);
        (await Bearer(token, ("onBehalfOf", "yours")).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
        (await Bearer(token, ("onBehalfOf", "yours")).PostAsync($"{Feed}/x/read")).ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
    }

    [Fact]
    public async Task A_token_opens_feed_routes_and_nothing_else()
    {
        var user = Bearer(await TokenAsync("curious"));
        foreach (var route in Route.AllOf(service))
        {
            var answer = await route.CallAsync(user, route.Path(_ => "curious"));
            if (route.IsOperators) answer.ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
            else if (route.Area != "notification-feed") answer.ShouldRefuse(HttpStatusCode.Forbidden, "ERR_FORBIDDEN");
            else Assert.True((int)answer.Status is 200 or 204 or 400 or 404, $"{route}: {answer.Status}");
        }
    }

    [Fact]
    public async Task What_is_no_token_or_was_changed_or_is_of_another_app_is_401()
    {
        var token = await TokenAsync("tampered");
        await service.NewAppAsync("elsewhere");
        var broken = new[] { "", "x", "cut_", "cut_AAAA", token[..^1], token + "A", token + "=", token[..10] + (token[10] == 'A' ? 'B' : 'A') + token[11..], token[..^5] + (token[^5] == 'A' ? 'B' : 'A') + token[^4..], token.ToUpperInvariant() };
        foreach (var bad in broken) (await Bearer(bad).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        (await Bearer(token, ("appId", "elsewhere")).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        (await Bearer(token, ("appId", "demo")).GetAsync(Feed)).ShouldBe(HttpStatusCode.OK);
        var foreign = new UserTokens(new byte[32], service.Db, TimeProvider.System).Issue(new TokenHolder(new Person(1, "tampered"), "demo"), TimeSpan.FromHours(1)).Token;
        (await Bearer(foreign).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        // Beside a key it is not looked at.
        (await Bearer("x", ("appId", "demo"), ("apiKey", "demo-key"), ("onBehalfOf", "tampered")).GetAsync(Feed)).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_token_lives_as_long_as_was_asked_for()
    {
        var now = await service.ScalarAsync<DateTime>("SELECT clock_timestamp()");
        foreach (var (body, seconds) in new (object?, int)[] { (null, 3600), (new { }, 3600), (new { expiresInSeconds = 60 }, 60), (new { expiresInSeconds = 2_592_000 }, 2_592_000) })
        {
            var answer = (await service.Api.PostAsync("/api/users/lasting/tokens", body)).ShouldBe(HttpStatusCode.Created).Data;
            Assert.InRange((answer.GetProperty("expiresAt").GetDateTimeOffset() - now).TotalSeconds, seconds - 1, seconds + 60);
        }
        foreach (var bad in new object[] { new { expiresInSeconds = 59 }, new { expiresInSeconds = 2_592_001 }, new { expiresInSeconds = "x" } })
        {
            Assert.StartsWith("expiresInSeconds: ", Assert.Single((await service.Api.PostAsync("/api/users/lasting/tokens", bad)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
        }
        var expired = service.Services.GetRequiredService<UserTokens>().Issue(new TokenHolder(new Person(1, "lasting"), "demo"), TimeSpan.FromMilliseconds(-1)).Token;
        (await Bearer(expired).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
    }

    [Fact]
    public async Task Erasing_a_person_makes_their_tokens_useless_here_at_once_and_elsewhere_within_5_s()
    {
        await service.Api.PostAsync("/api/users", new { id = "gone" });
        var (token, untouched) = (await TokenAsync("gone"), await TokenAsync("stays"));
        await using var source = NpgsqlDataSource.Create(service.ConnectionString);
        var secret = await service.ScalarAsync<byte[]>("SELECT value FROM secrets WHERE name = 'user tokens'");
        var later = new LaterClock();
        using var elsewhere = new UserTokens(secret, source, later);
        Assert.NotNull(await elsewhere.ReadAsync(token, CancellationToken.None));

        (await service.Api.DeleteAsync("/api/users/gone")).ShouldBe(HttpStatusCode.OK);
        (await Bearer(token).GetAsync(Feed)).ShouldRefuse(HttpStatusCode.Unauthorized, "ERR_UNAUTHORIZED");
        (await Bearer(untouched).GetAsync(Feed)).ShouldBe(HttpStatusCode.OK);
        (await Bearer(await TokenAsync("gone")).GetAsync(Feed)).ShouldBe(HttpStatusCode.OK);

        Assert.NotNull(await elsewhere.ReadAsync(token, CancellationToken.None));
        later.Ahead = TimeSpan.FromSeconds(5);
        Assert.Null(await elsewhere.ReadAsync(token, CancellationToken.None));
        Assert.NotNull(await elsewhere.ReadAsync(untouched, CancellationToken.None));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Erasing_a_person_takes_the_tokens_made_before_and_none_made_after_whichever_clock_is_ahead(int seconds)
    {
        await using var source = NpgsqlDataSource.Create(service.ConnectionString);
        var secret = await service.ScalarAsync<byte[]>("SELECT value FROM secrets WHERE name = 'user tokens'");
        using var tokens = new UserTokens(secret, source, new WrongClock(TimeSpan.FromSeconds(seconds)));
        var holder = new TokenHolder(new Person(1, $"between {seconds}"), "demo");
        var before = tokens.Issue(holder, TimeSpan.FromHours(1)).Token;
        await tokens.CutAsync(holder.Person, CancellationToken.None);
        var after = tokens.Issue(holder, TimeSpan.FromHours(1)).Token;
        Assert.Null(await tokens.ReadAsync(before, CancellationToken.None));
        Assert.Equal(holder, await tokens.ReadAsync(after, CancellationToken.None));
    }

    private async Task<string> TokenAsync(string userId) =>
        (await service.Api.PostAsync($"/api/users/{Uri.EscapeDataString(userId)}/tokens")).ShouldBe(HttpStatusCode.Created).Data.GetProperty("token").GetString()!;

    private Api Bearer(string token, params (string Name, string Value)[] others) => service.Client([("Authorization", $"Bearer {token}"), .. others]);

    /// <summary>A clock that is so far ahead of the database's, or behind it.</summary>
    private sealed class WrongClock(TimeSpan ahead) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + ahead;
    }

    /// <summary>A clock whose counter can be put ahead.</summary>
    private sealed class LaterClock : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public override long GetTimestamp() => System.GetTimestamp() + (long)(Ahead.TotalSeconds * TimestampFrequency);
    }
}
