using System.Net;
using System.Net.Http.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Idempotency;

/// <summary>A caller's retry may reach another process than its first attempt, and at the same instant.</summary>
public sealed class TwoProcessesTests(TestService service) : IClassFixture<TestService>
{
    private const int Rounds = 50;

    [Fact]
    public async Task The_same_request_to_two_processes_at_once_is_done_once()
    {
        var template = await service.Api.NewTemplateAsync(variableSchema: []);
        using ServiceProcess one = ServiceProcess.Start(service.ConnectionString, ("Roles", "api")), other = ServiceProcess.Start(service.ConnectionString, ("Roles", "api"));
        Api[] both = [await one.Listening, await other.Listening];
        for (var round = 0; round < Rounds; round++)
        {
            // To few it is one statement, to many a transaction; each process comes first as often as the other.
            var (key, receivers) = ($"race-{Guid.NewGuid():N}", round % 4 < 2 ? 1 : 11);
            var body = new { templateId = template, receivers = Enumerable.Range(0, receivers).Select(i => $"{key}-{i}").ToArray(), tag = key };
            var answers = await Task.WhenAll((round % 2 == 0 ? both : [.. both.Reverse()]).Select(api => SendAsync(api, body, key)));

            var done = answers.Where(a => a.Status == (receivers == 1 ? HttpStatusCode.OK : HttpStatusCode.Accepted)).ToArray();
            foreach (var refused in answers.Except(done)) refused.ShouldRefuse(HttpStatusCode.Conflict, "ERR_IDEMPOTENCY_IN_PROGRESS");
            Assert.Single(done, a => !a.Headers.Contains("Idempotency-Replayed"));
            Assert.Single(done.Select(a => a.Text).Distinct());
            Assert.Equal(1, await service.ScalarAsync<long>("SELECT count(*) FROM notifications WHERE tag = $1", key));
            foreach (var api in both)
            {
                var again = await SendAsync(api, body, key);
                Assert.Equal((done[0].Text, "true"), (again.Text, again.Headers.GetValues("Idempotency-Replayed").Single()));
            }
        }
        await service.DeliverAsync();
        Assert.Equal((26 * 1) + (24 * 11), await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id LIKE 'race-%'"));
    }

    private static async Task<Answer> SendAsync(Api api, object body, string key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/notifications/messages") { Content = JsonContent.Create(body) };
        request.Headers.Add("Idempotency-Key", key);
        using var response = await api.Http.SendAsync(request);
        return await Answer.OfAsync(response);
    }
}
