using System.Globalization;
using CampaignService.Delivery;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.External;

/// <summary>
/// Whatever providers answer, and whatever is done to a campaign in whatever order, its ledger balances after every step and agrees with what
/// the provider took. The model of it is the recount.
/// </summary>
public sealed class RandomTests(ExternalService service) : IClassFixture<ExternalService>
{
    private Api Api => service.Api;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Any_sequence_of_verbs_answers_and_deaths_keeps_the_ledger_balanced(int seed)
    {
        var random = new Random(seed);
        await using var sink = await Sink.StartAsync();
        var answers = new Random(seed);
        int[] statuses = [200];
        sink.Answer = (call, http) =>
        {
            int status;
            lock (answers) status = statuses[answers.Next(statuses.Length)];
            if (status == 0) call.Break(http);
            else http.Response.StatusCode = status;
            return Task.CompletedTask;
        };
        var (template, _) = await Api.NewWebhookAsync(sink.Url, new { onUncertain = seed % 2 == 0 ? "hold" : "resend", batchSize = seed % 3 == 0 ? 7 : 1 }, alsoInApp: seed > 3);
        var id = await Api.SendToAsync(template, 1_100, missing: 3);
        string[][] kinds = [["failed"], ["skipped"], ["uncertain"], ["failed", "skipped"], ["failed", "skipped", "uncertain"]];
        int[][] moods = [[200], [200, 200, 400], [200, 500, 200, 200], [200, 0, 200, 200], [200, 200, 410, 400, 500, 0], [500], [200, 429]];
        var steps = new List<string>();
        for (var step = 0; step < 30; step++)
        {
            var act = random.Next(10);
            steps.Add(act.ToString(CultureInfo.InvariantCulture));
            switch (act)
            {
                case 0: await Api.PostAsync($"/api/campaigns/{id}/pause"); break;
                case 1 or 2: await Api.PostAsync($"/api/campaigns/{id}/resume"); break;
                case 3: await Api.PostAsync($"/api/campaigns/{id}/stop"); break;
                case 4: await Api.PostAsync($"/api/campaigns/{id}/retry-failed", new { include = kinds[random.Next(kinds.Length)] }); break;
                case 5: lock (answers) statuses = moods[random.Next(moods.Length)]; break;
                case 6: await DieAsync(random); break;
                case 7: await service.PassTimeAsync(); break;
                case 8 when random.Next(4) == 0: await Api.DeleteAsync($"/api/users/u{random.Next(1_100):0000}"); break;
                default: await service.DeliverAsync(); break;
            }
            await service.Services.GetRequiredService<BatchFinisher>().SweepAsync(CancellationToken.None);
            try
            {
                Assert.Equal((await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("messages").GetInt32(), (await Api.CountsAsync(id)).Values.Sum());
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"after the steps {string.Join(' ', steps)} of seed {seed}: {e.Message}", e);
            }
        }
        // In the end everybody whom the provider took is delivered, or may have been; and nobody else is delivered.
        var taken = sink.Taken;
        foreach (var person in (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit=1000")).Data.EnumerateArray())
        {
            var message = person.GetProperty("channels").EnumerateArray().First(c => c.GetProperty("channelType").GetString() == "webhook");
            var (user, said) = (person.GetProperty("userId").GetString()!, message.GetProperty("status").GetString());
            if (user[0] == ' ') continue;
            if (said == "delivered") Assert.True(taken.ContainsKey(user), $"{user} is said to be delivered, seed {seed}");
            if (taken.ContainsKey(user)) Assert.True(said is "delivered", $"{user} was taken and is {said}, seed {seed}");
        }
    }

    /// <summary>A worker takes a chunk, writes an intent, and dies; and is taken for dead.</summary>
    private async Task DieAsync(Random random)
    {
        await service.Services.GetRequiredService<DeliveryPulse>().BeatAsync(CancellationToken.None);
        var chunks = new ExternalChunks(service.Services.GetRequiredKeyedService<NpgsqlDataSource>(DeliveryPool.Key), TimeProvider.System);
        foreach (var channel in (await chunks.ReadyLanesAsync(CancellationToken.None)).Select(ready => ready.Key))
        {
            if (await chunks.ClaimAsync(channel, [Lanes.ExternalDirect, Lanes.ExternalBulk], [], random.Next(2) * ChunkRun.Window, CancellationToken.None) is not { } claim) continue;
            var pass = new ChunkPass(claim, await chunks.LoadAsync(claim, CancellationToken.None), resends: true, new CampaignService.Channels.ExternalSettings(), TimeProvider.System);
            if (random.Next(3) > 0) await chunks.NoteAsync(claim, pass.Now(random.Next(claim.N + 1)), null, isTakeover: false, renews: true, CancellationToken.None);
        }
        await service.ExecuteAsync("UPDATE chunks SET lease_until = clock_timestamp() - interval '1 minute' WHERE state = 2 AND lane > 1");
    }
}
