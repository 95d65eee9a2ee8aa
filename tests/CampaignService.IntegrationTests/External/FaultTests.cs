using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.External;

/// <summary>What providers do wrong, and what becomes of the messages.</summary>
public sealed class FaultTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync() => await _sink.DisposeAsync();

    [Fact]
    public async Task Told_to_wait_it_waits_as_long_as_it_was_told_and_that_is_no_attempt()
    {
        var since = DateTimeOffset.MaxValue;
        var (begun, early) = (0, 0);
        var allBegun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _sink.Answer = async (_, http) =>
        {
            var call = Interlocked.Increment(ref begun);
            if (call > 5)
            {
                lock (_sink)
                {
                    if (TimeProvider.System.GetUtcNow() - since < TimeSpan.FromSeconds(0.95)) early++;
                }
                return;
            }
            // None is answered before all are there: whoever hears that it is to wait begins no more.
            if (call == 5) allBegun.SetResult();
            await allBegun.Task.WaitAsync(TimeSpan.FromMinutes(1));
            lock (_sink) since = TimeProvider.System.GetUtcNow();
            http.Response.StatusCode = 429;
            http.Response.Headers.RetryAfter = "1";
        };
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 5 });
        var id = await Api.SendToAsync(template, 40);
        await Eventually.HoldsAsync(async () =>
        {
            await service.DeliverAsync();
            return await Api.StatusAsync(id) == "completed";
        });
        Assert.Equal((40, 45, 0), (_sink.Taken.Count, _sink.Calls.Count, early));
        foreach (var message in (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit=100")).Data.EnumerateArray()) Assert.Equal(1, message.GetProperty("channels")[0].GetProperty("attempts").GetInt32());
    }

    [Fact]
    public async Task Told_to_wait_for_a_whole_minute_nobody_is_lost_no_attempt_is_burned_and_other_channels_go_on()
    {
        var clock = new PassingClock();
        _sink.Answer = (_, http) =>
        {
            var left = 60 - clock.Passed.TotalSeconds;
            if (left <= 0) return Task.CompletedTask;
            http.Response.StatusCode = 429;
            http.Response.Headers.RetryAfter = Math.Ceiling(left).ToString(System.Globalization.CultureInfo.InvariantCulture);
            return Task.CompletedTask;
        };
        await using var well = await Sink.StartAsync();
        var (busy, free) = ((await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 5 })).Template, (await Api.NewWebhookAsync(well.Url)).Template);
        var id = await Api.SendToAsync(busy, 1_200);
        using var worker = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services, (TimeProvider)clock);
        await worker.StartAsync(CancellationToken.None);
        try
        {
            await Eventually.HoldsAsync(async () => (await Api.MessagesAsync(id)).Any(m => m.GetProperty("reason").ValueKind != JsonValueKind.Null));
            foreach (var seconds in new[] { 1, 30, 59 })
            {
                clock.Passed = TimeSpan.FromSeconds(seconds);
                var other = await Api.SendToAsync(free, 300);
                await Eventually.HoldsAsync(async () => await Api.StatusAsync(other) == "completed");
                // Whoever waits has seen that it is so late.
                var looks = clock.Looks;
                await Eventually.HoldsAsync(async () => await Api.StatusAsync(id) == "sending" && clock.Looks > looks + 5);
            }
            Assert.InRange(_sink.Calls.Count, 1, 5);
            Assert.Equal(1_200, (await Api.CountsAsync(id))["pending"]);

            clock.Passed = TimeSpan.FromSeconds(60);
            await Eventually.HoldsAsync(async () =>
            {
                await service.PassTimeAsync();
                return await Api.StatusAsync(id) == "completed";
            });
        }
        finally
        {
            await worker.StopAsync(CancellationToken.None);
        }
        Assert.Equal(1_200, (await Api.CountsAsync(id))["delivered"]);
        Assert.Equal((1_200, 1), (_sink.Taken.Count, _sink.Taken.Values.Max()));
        Assert.All(await Api.MessagesAsync(id), m => Assert.Equal(1, m.GetProperty("attempts").GetInt32()));
        Assert.Equal(1_200, _sink.Calls.Select(c => c.Key).Distinct().Count());
    }

    [Fact]
    public async Task A_fault_of_the_provider_is_tried_again_and_after_five_attempts_it_is_final()
    {
        _sink.Answer = (call, http) =>
        {
            http.Response.StatusCode = call.Users.Contains("u0000") || (call.Users.Contains("u0001") && _sink.Calls.Count(c => c.Users.Contains("u0001")) < 3) ? 503 : 200;
            return Task.CompletedTask;
        };
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var id = await Api.SendToAsync(template, 12);
        await service.DeliverAsync();
        var waiting = await Api.MessageAsync(id, "u0000");
        Assert.Equal(("pending", "transient", "HTTP 503", 1), (Text(waiting, "status"), Text(waiting, "reason"), Text(waiting, "detail"), waiting.GetProperty("attempts").GetInt32()));
        Assert.Equal(2, (await Api.CountsAsync(id))["pending"]);
        for (var attempt = 2; attempt <= 5; attempt++)
        {
            await service.PassTimeAsync();
            await service.DeliverAsync();
            await Api.CountsAsync(id);
        }
        var (never, late) = (await Api.MessageAsync(id, "u0000"), await Api.MessageAsync(id, "u0001"));
        Assert.Equal(("failed", "transient", 5), (Text(never, "status"), Text(never, "reason"), never.GetProperty("attempts").GetInt32()));
        Assert.Equal(("delivered", 3), (Text(late, "status"), late.GetProperty("attempts").GetInt32()));
        Assert.Equal("partially_failed", await Api.StatusAsync(id));
        // A key each, however often it was tried.
        Assert.Equal((18, 12), (_sink.Calls.Count, _sink.Calls.Select(c => c.Key).Distinct().Count()));
    }

    [Theory]
    [InlineData("hang", "timeout")]
    [InlineData("reset", "connection_lost")]
    public async Task What_may_have_been_taken_is_listed_as_uncertain_and_sent_again_with_the_same_key(string fault, string reason)
    {
        _sink.Answer = (call, http) => call.Users.Contains("u0002") ? BreakAsync(fault, http) : Task.CompletedTask;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { timeoutSeconds = 1 });
        var id = await Api.SendToAsync(template, 5);
        await service.DeliverAsync();
        var message = await Api.MessageAsync(id, "u0002");
        Assert.Equal(("uncertain", reason, 1), (Text(message, "status"), Text(message, "reason"), message.GetProperty("attempts").GetInt32()));
        Assert.Equal("sending", await Api.StatusAsync(id));
        Assert.Equal(1, (await Api.CountsAsync(id))["uncertain"]);

        _sink.AnswerWith(200);
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        Assert.Equal(5, (await Api.CountsAsync(id))["delivered"]);
        Assert.Single(_sink.Calls.Where(c => c.Users.Contains("u0002")).Select(c => c.Key).Distinct());
    }

    [Fact]
    public async Task Where_the_channel_says_hold_it_stays_uncertain_until_somebody_has_it_sent_again()
    {
        _sink.Answer = (call, http) => call.Users.Contains("u0002") ? BreakAsync("reset", http) : Task.CompletedTask;
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { onUncertain = "hold" });
        var id = await Api.SendToAsync(template, 5);
        await service.DeliverAsync();
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal("partially_failed", await Api.StatusAsync(id));
        Assert.Equal("u0002", (await Api.GetAsync($"/api/campaigns/{id}/recipients?status=uncertain")).Data.EnumerateArray().Select(r => Text(r, "userId")).Single());
        (await Api.PostAsync($"/api/campaigns/{id}/retry-failed")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NOTHING_TO_RETRY");
        _sink.AnswerWith(200);
        await Api.DoAsync(id, "retry-failed", new { include = new[] { "uncertain" } });
        await service.DeliverAsync();
        Assert.Equal(("completed", 6), (await Api.StatusAsync(id), _sink.Calls.Count));
        await Api.CountsAsync(id);
    }

    [Theory]
    [InlineData("closes after the headers")]
    [InlineData("slow body")]
    public async Task Once_the_status_is_there_the_message_is_delivered_whatever_the_body_does(string fault)
    {
        _sink.Answer = async (_, http) =>
        {
            http.Response.ContentLength = 100_000;
            await http.Response.StartAsync();
            await http.Response.Body.WriteAsync("x"u8.ToArray());
            await http.Response.Body.FlushAsync();
            if (fault == "slow body") await HangAsync(http);
            // Else it returns, and the connection is closed before the body is there.
        };
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { timeoutSeconds = 2 });
        var id = await Api.SendToAsync(template, 5);
        await service.DeliverAsync();
        Assert.Equal(("completed", 5), (await Api.StatusAsync(id), _sink.Calls.Count));
    }

    [Fact]
    public async Task While_nobody_is_there_the_campaign_is_paused_and_it_goes_on_by_itself()
    {
        // Bound and not listening: it refuses calls, and nobody else gets the port meanwhile.
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        var (template, channel) = await Api.NewWebhookAsync($"http://127.0.0.1:{port}/messages");
        var id = await Api.SendToAsync(template, 1_200);
        await service.DeliverAsync();
        var campaign = await Api.CampaignAsync(id);
        Assert.Equal(("paused", "provider_down"), (Text(campaign, "status"), Text(campaign.GetProperty("statusReason"), "code")));
        Assert.Equal(1_200, (await Api.CountsAsync(id))["pending"]);
        // Trying finds nobody; and what somebody resumes is paused again.
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal("paused", await Api.StatusAsync(id));
        await Api.DoAsync(id, "resume");
        await service.DeliverAsync();
        Assert.Equal(("paused", "provider_down"), (await Api.StatusAsync(id), await Api.ReasonAsync(id)));
        Assert.Equal(1_200, (await Api.CountsAsync(id))["pending"]);

        taken.Dispose();
        await using var sink = await Sink.StartAsync(port);
        await service.PassTimeAsync();
        await service.DeliverAsync();
        await service.PassTimeAsync();
        await service.DeliverAsync();
        Assert.Equal("completed", await Api.StatusAsync(id));
        Assert.Equal((1_200, 1_200), (sink.Taken.Count, sink.Calls.Count));
        Assert.Equal(1_200, (await Api.CountsAsync(id))["delivered"]);
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT count(*) FROM channel_circuits WHERE channel_no = (SELECT no FROM channels WHERE channel_id = $1)", channel));
    }

    [Theory]
    [InlineData(401)]
    [InlineData(404)]
    [InlineData(500)]
    public async Task A_server_that_refuses_everything_pauses_the_campaign_instead_of_failing_everybody(int status)
    {
        _sink.AnswerWith(status);
        var (template, _) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 10 });
        var id = await Api.SendToAsync(template, 2_000);
        await service.DeliverAsync();
        Assert.Equal(("paused", "provider_down"), (await Api.StatusAsync(id), await Api.ReasonAsync(id)));
        Assert.InRange(_sink.Calls.Count, 20, 40);
        Assert.Equal(2_000, (await Api.CountsAsync(id))["pending"]);
        var cancelled = await Api.PostAsync($"/api/campaigns/{id}/stop");
        Assert.Equal("stopped", Text(cancelled.ShouldBe(HttpStatusCode.OK).Data, "status"));
        await service.DeliverAsync();
        Assert.Equal(2_000, (await Api.CountsAsync(id))["skipped"]);
    }

    [Fact]
    public async Task A_certificate_that_nobody_vouches_for_is_a_provider_that_is_down()
    {
        using var key = ECDsa.Create();
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var now = TimeProvider.System.GetUtcNow();
        using var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        await using var sink = await Sink.StartAsync(listen: o => o.UseHttps(certificate));
        var (template, _) = await Api.NewWebhookAsync(sink.Url);
        var id = await Api.SendToAsync(template, 50);
        await service.DeliverAsync();
        Assert.Equal(("paused", "provider_down"), (await Api.StatusAsync(id), await Api.ReasonAsync(id)));
        Assert.Empty(sink.Calls);
        Assert.Equal("unavailable", Text(await Api.MessageAsync(id, "u0000"), "reason"));
    }

    private static Task BreakAsync(string fault, HttpContext http)
    {
        if (fault == "hang") return HangAsync(http);
        http.Abort();
        return Task.CompletedTask;
    }

    /// <summary>Until the caller gives up.</summary>
    private static async Task HangAsync(HttpContext http)
    {
        var gone = new TaskCompletionSource();
        await using var aborted = http.RequestAborted.Register(gone.SetResult);
        await gone.Task;
    }

    private static string Text(JsonElement of, string member) => of.GetProperty(member).GetString()!;

    /// <summary>Its time passes when a test says so; it counts how often it was looked at.</summary>
    private sealed class PassingClock : TimeProvider
    {
        private readonly DateTimeOffset _start = System.GetUtcNow();
        private int _looks;

        public TimeSpan Passed { get; set; }

        public int Looks => Volatile.Read(ref _looks);

        public override DateTimeOffset GetUtcNow()
        {
            Interlocked.Increment(ref _looks);
            return _start + Passed;
        }
    }
}
