using System.Net;
using CampaignService.Campaigns;
using CampaignService.Delivery;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Campaigns;

/// <summary>Every verb from every state: the whole table of what a campaign may become, move by move.</summary>
public sealed class StateTableTests(TestService service) : IClassFixture<TestService>
{
    private const int Ok = 200, Created = 201, Accepted = 202, NoContent = 204;

    private static readonly string[] Verbs =
        ["PUT", "DELETE", "recipients", "upload", "send", "send-at", "schedule", "unschedule", "cancel", "pause", "resume", "stop", "retry-failed", "duplicate"];

    /// <summary>What is allowed: the answer, and what the campaign then is. Everything else is a 409 and changes nothing.</summary>
    private static readonly Dictionary<(string State, string Verb), (int Answer, string? Becomes)> Allowed = new()
    {
        [("draft", "PUT")] = (Ok, "draft"),
        [("draft", "DELETE")] = (NoContent, null),
        [("draft", "recipients")] = (Created, "draft"),
        [("draft", "upload")] = (Ok, "draft"),
        [("draft", "send")] = (Accepted, "sending"),
        [("draft", "send-at")] = (Accepted, "scheduled"),
        [("draft", "schedule")] = (Ok, "scheduled"),
        [("draft", "cancel")] = (Ok, "cancelled"),
        [("scheduled", "send")] = (Accepted, "sending"),
        [("scheduled", "send-at")] = (Accepted, "scheduled"),
        [("scheduled", "schedule")] = (Ok, "scheduled"),
        [("scheduled", "unschedule")] = (Ok, "draft"),
        [("scheduled", "cancel")] = (Ok, "cancelled"),
        [("sending", "pause")] = (Ok, "paused"),
        [("sending", "stop")] = (Ok, "stopped"),
        [("paused", "resume")] = (Ok, "sending"),
        [("paused", "stop")] = (Ok, "stopped"),
        [("paused before the first message", "resume")] = (Ok, "sending"),
        [("paused before the first message", "stop")] = (Ok, "stopped"),
        [("paused before the first message", "cancel")] = (Ok, "cancelled"),
        [("paused before it started", "resume")] = (Ok, "sending"),
        [("paused before it started", "stop")] = (Ok, "stopped"),
        [("paused before it started", "cancel")] = (Ok, "cancelled"),
        [("partially_failed", "retry-failed")] = (Accepted, "sending"),
        [("failed", "retry-failed")] = (Accepted, "sending"),
        [("stopped", "retry-failed")] = (Accepted, "sending"),
    };

    private static readonly string[] States =
        ["draft", "scheduled", "sending", "paused", "paused before the first message", "paused before it started", "completed", "partially_failed", "failed", "cancelled", "stopped"];

    private Api Api => service.Api;

    public static TheoryData<string, string> Moves()
    {
        var moves = new TheoryData<string, string>();
        foreach (var state in States)
        {
            foreach (var verb in Verbs) moves.Add(state, verb);
        }
        return moves;
    }

    [Theory]
    [MemberData(nameof(Moves))]
    public async Task Every_verb_from_every_state_does_what_the_table_says(string state, string verb)
    {
        var id = await InStateAsync(state);
        var before = await Api.CampaignAsync(id);
        var answer = await DoAsync(id, verb);

        if (verb == "duplicate")
        {
            answer.ShouldBe(HttpStatusCode.Created);
            Assert.Equal("draft", answer.Data.GetProperty("status").GetString());
            Assert.Equal(before.GetRawText(), (await Api.CampaignAsync(id)).GetRawText());
        }
        else if (Allowed.TryGetValue((state, verb), out var allowed))
        {
            answer.ShouldBe((HttpStatusCode)allowed.Answer);
            if (allowed.Becomes is null) (await Api.GetAsync($"/api/campaigns/{id}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
            else Assert.Equal(allowed.Becomes, (await Api.CampaignAsync(id)).GetProperty("status").GetString());
        }
        else
        {
            // A completed campaign may be retried, but there is nobody to retry.
            answer.ShouldRefuse(HttpStatusCode.Conflict, (state, verb) == ("completed", "retry-failed") ? "ERR_NOTHING_TO_RETRY" : "ERR_INVALID_STATE");
            if (answer.Code == "ERR_INVALID_STATE") ShouldNameStateAndAllowed(answer, verb, before.GetProperty("status").GetString()!);
            Assert.Equal(before.GetRawText(), (await Api.CampaignAsync(id)).GetRawText());
        }
    }

    [Theory]
    [InlineData("send", "pause", "paused")]
    [InlineData("send", "cancel", null)]
    [InlineData("pause", "stop", "stopped")]
    [InlineData("resume", "stop", "stopped")]
    [InlineData("resume", "cancel", null)]
    [InlineData("schedule", "cancel", "cancelled")]
    [InlineData("unschedule", "send", "sending")]
    [InlineData("retry-failed", "retry-failed", null)]
    [InlineData("send", "send", null)]
    [InlineData("stop", "stop", null)]
    public async Task Two_requests_at_once_end_in_one_legal_state_and_the_loser_is_told(string one, string other, string? bothWon)
    {
        for (var round = 0; round < 4; round++)
        {
            var id = await InStateAsync(one switch
            {
                "pause" or "stop" => "sending",
                "resume" => "paused before the first message",
                "unschedule" => "scheduled",
                "retry-failed" => "stopped",
                _ => "draft",
            });
            var (first, second) = (InsistAsync(id, one), InsistAsync(id, other));
            var answers = new[] { await first, await second };
            var status = (await Api.CampaignAsync(id)).GetProperty("status").GetString();
            foreach (var loser in answers.Where(a => (int)a.Status >= 300)) loser.ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
            // When both won, one after the other, the state is that of the only order in which both could.
            var winners = answers.Where(a => (int)a.Status < 300).Select(a => a.Data.GetProperty("status").GetString()).ToArray();
            if (winners.Length == 2) Assert.Equal(bothWon ?? "never both", status);
            else Assert.Equal(Assert.Single(winners), status);
            await service.DeliverAsync();
        }
    }

    private static void ShouldNameStateAndAllowed(Answer answer, string verb, string state)
    {
        var details = answer.Json.GetProperty("error").GetProperty("details");
        Assert.Equal(state, details.GetProperty("state").GetString());
        Assert.Contains(state, answer.Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
        var allowed = details.GetProperty("allowed").EnumerateArray().Select(s => s.GetString()!).ToArray();
        var expected = verb == "retry-failed"
            ? ["completed", "failed", "partially_failed", "stopped"]
            : Allowed.Keys.Where(k => k.Verb == verb).Select(k => k.State.Split(' ')[0]).Distinct().Order().ToArray();
        Assert.Equal(expected, allowed.Select(s => s.Split(' ')[0]).Order());
    }

    /// <summary>Told that another request is just at work on it, it asks again, as it is told to: on a busy machine that may last for longer than a request waits.</summary>
    private async Task<Answer> InsistAsync(string id, string verb)
    {
        Answer? answer = null;
        await Eventually.HoldsAsync(async () => (answer = await DoAsync(id, verb)).Status != HttpStatusCode.Conflict || answer.Code != "ERR_CONFLICT");
        return answer!;
    }

    private async Task<Answer> DoAsync(string id, string verb) => verb switch
    {
        "PUT" => await Api.PutAsync($"/api/campaigns/{id}", new { description = "changed" }),
        "DELETE" => await Api.DeleteAsync($"/api/campaigns/{id}"),
        "recipients" => await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "more" } }),
        "upload" => await Api.UploadAsync(id, "user_id,name\nmore,More\n"),
        "send" => await Api.PostAsync($"/api/campaigns/{id}/send"),
        "send-at" => await Api.PostAsync($"/api/campaigns/{id}/send", new { scheduledAt = "2099-01-01T00:00:00Z" }),
        "schedule" => await Api.PostAsync($"/api/campaigns/{id}/schedule", new { scheduledAt = "2099-02-01T00:00:00Z" }),
        "retry-failed" => await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = new[] { "failed", "skipped", "uncertain" } }),
        _ => await Api.PostAsync($"/api/campaigns/{id}/{verb}"),
    };

    private async Task<string> InStateAsync(string state)
    {
        // Two chunks where one of them is sent; else two people, of whom as many have a name as the outcome wants.
        var rows = state == "paused"
            ? string.Concat(Enumerable.Range(0, 2_001).Select(i => $"u{i},Ann\n"))
            : state switch { "partially_failed" => "u1,Ann\nu2,\n", "failed" => "u1,\nu2,\n", _ => "u1,Ann\nu2,Ben\n" };
        var id = await Api.NewCampaignAsync();
        (await Api.UploadAsync(id, "user_id,name\n" + rows)).ShouldBe(HttpStatusCode.OK);
        string[] verbs = state switch
        {
            "draft" => [],
            "scheduled" or "paused before it started" => ["send-at"],
            "cancelled" => ["cancel"],
            "stopped" => ["send", "stop"],
            "paused before the first message" => ["send", "pause"],
            _ => ["send"],
        };
        foreach (var verb in verbs) Assert.InRange((int)(await DoAsync(id, verb)).Status, 200, 202);
        if (state is "completed" or "partially_failed" or "failed") await service.DeliverAsync();
        if (state == "paused before it started") await MissItsTimeAsync(id);
        if (state == "paused") await DeliverOneChunkAsync(id);
        Assert.Equal(state.Split(' ')[0], (await Api.CampaignAsync(id)).GetProperty("status").GetString());
        return id;
    }

    private async Task MissItsTimeAsync(string id)
    {
        await service.ScalarAsync<string>("UPDATE campaigns SET scheduled_at = clock_timestamp() - interval '2 hours' WHERE id = $1 RETURNING id", id);
        await service.Services.GetRequiredService<DueCampaigns>().RunAsync(id, CancellationToken.None);
    }

    private async Task DeliverOneChunkAsync(string id)
    {
        var services = service.Services;
        await services.GetRequiredService<DeliveryPulse>().BeatAsync(CancellationToken.None);
        var batch = await service.ScalarAsync<long>("SELECT batch_id FROM campaigns WHERE id = $1", id);
        while (true)
        {
            var chunk = await services.GetRequiredService<ChunkQueue>().ClaimAsync(-1, CancellationToken.None);
            await services.GetRequiredService<ChunkProcessor>().ProcessAsync(chunk!, claimNext: false, CancellationToken.None);
            if (chunk!.BatchId == batch) break;
        }
        (await DoAsync(id, "pause")).ShouldBe(HttpStatusCode.OK);
    }
}
