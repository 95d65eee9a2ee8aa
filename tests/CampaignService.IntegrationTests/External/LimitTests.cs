using System.Net;
using System.Text.Json;
using CampaignService.Delivery.External;
using CampaignService.IntegrationTests.Support;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.External;

/// <summary>Limits on how fast messages go: exact across processes, changeable while they go, and in nobody else's way.</summary>
public sealed class LimitTests(ExternalService service) : IClassFixture<ExternalService>, IAsyncLifetime
{
    private Sink _sink = null!;

    private Api Api => service.Api;

    public async Task InitializeAsync() => _sink = await Sink.StartAsync();

    public async Task DisposeAsync() => await _sink.DisposeAsync();

    [Theory]
    [InlineData(100)]
    [InlineData(3)]
    [InlineData(7_000)]
    public async Task Of_three_processes_together_no_second_wherever_it_begins_has_more_starts_than_the_limit(double perSecond)
    {
        await using var processes = await Processes.StartAsync(service.ConnectionString, perSecond);
        var starts = await processes.TakeAsync((int)perSecond * 4);
        AssertHolds(starts, (int)perSecond);
        // None is wasted while somebody wants them.
        Assert.InRange((starts.Length - 1) / (starts[^1] - starts[0]).TotalSeconds, perSecond * 0.95, perSecond * 1.001);
    }

    [Fact]
    public async Task A_limit_that_is_changed_while_three_processes_send_holds_in_all_of_them_from_the_next_start_on()
    {
        await using var processes = await Processes.StartAsync(service.ConnectionString, 100);
        await processes.TakeAsync(100);
        foreach (var perSecond in new[] { 20, 1_000, 100 })
        {
            processes.PerSecond = perSecond;
            AssertHolds(await processes.TakeAsync(perSecond), perSecond);
        }
    }

    [Fact]
    public async Task A_process_that_has_not_heard_of_a_higher_limit_yet_does_not_make_others_start_twice_as_many()
    {
        await using var processes = await Processes.StartAsync(service.ConnectionString, 100);
        var (first, second, late) = (processes[0], processes[1], processes[2]);
        late.PerSecond = 20;
        var starts = new List<DateTimeOffset>();
        for (var i = 0; i < 5; i++) starts.Add(await first.TakeAsync(1, CancellationToken.None));
        await late.TakeAsync(1, CancellationToken.None);
        for (var i = 0; i < 5; i++) starts.Add(await second.TakeAsync(1, CancellationToken.None));
        starts.Sort();
        Assert.All(starts.Zip(starts.Skip(1)), pair => Assert.InRange(pair.Second - pair.First, TimeSpan.FromMilliseconds(9.99), TimeSpan.MaxValue));
    }

    [Fact]
    public async Task A_limit_that_is_changed_holds_from_the_next_start_on()
    {
        var scope = $"channel:{Guid.NewGuid()}";
        using var slots = new RateSlots(service.Db, scope, TimeProvider.System) { PerSecond = 0.01 };
        await slots.TakeAsync(1, CancellationToken.None);
        var far = await slots.TakeAsync(1, CancellationToken.None);
        slots.PerSecond = 100;
        var near = await slots.TakeAsync(1, CancellationToken.None);
        Assert.True(far - near > TimeSpan.FromSeconds(80), "who waits for a slot of the old limit drops it");
        var last = near;
        for (var i = 0; i < 7; i++) last = await slots.TakeAsync(1, CancellationToken.None);
        slots.PerSecond = 2;
        // The last eight were taken ahead of their time, and none of them was used.
        Assert.True(await slots.TakeAsync(1, CancellationToken.None) - last >= TimeSpan.FromSeconds(0.5) - TimeSpan.FromMilliseconds(100));
        // Several at once start together, and no earlier than the last of their slots.
        slots.PerSecond = 10;
        var one = await slots.TakeAsync(1, CancellationToken.None);
        // Later than that only when this thread was held up between the two for so long that slots had passed.
        Assert.True(await slots.TakeAsync(40, CancellationToken.None) - one >= TimeSpan.FromSeconds(4));
    }

    [Fact]
    public async Task A_campaign_under_a_limit_holds_up_no_other_on_its_channel_and_is_paused_and_freed_at_once()
    {
        var (template, _) = await Api.NewWebhookAsync(_sink.Url);
        var slow = await Api.DraftToAsync(template, 1_500);
        (await Api.PutAsync($"/api/campaigns/{slow}", new { ratePerSecond = 0.02 })).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(0.02, (await Api.DoAsync(slow, "send")).GetProperty("ratePerSecond").GetDouble());
        using var worker = ActivatorUtilities.CreateInstance<ExternalWorker>(service.Services);
        await worker.StartAsync(CancellationToken.None);
        try
        {
            await Eventually.HoldsAsync(async () => (await Api.CampaignAsync(slow)).GetProperty("totals").GetProperty("delivered").GetInt32() == 1);
            var other = await Api.SendToAsync(template, 1_200);
            await Eventually.HoldsAsync(async () => await Api.StatusAsync(other) == "completed");
            Assert.Equal(1, (await Api.CampaignAsync(slow)).GetProperty("totals").GetProperty("delivered").GetInt32());

            await Api.DoAsync(slow, "pause");
            await Eventually.HoldsAsync(async () => await service.ScalarAsync<long>("SELECT count(*) FROM chunks WHERE batch_id = $1 AND state <> 3", await service.BatchOfAsync(slow)) == 0);
            await Api.DoAsync(slow, "resume");
            await Api.DoAsync(slow, "limit", new { ratePerSecond = (double?)null });
            await Eventually.HoldsAsync(async () => await Api.StatusAsync(slow) == "completed");
            Assert.Equal(2_700, _sink.Calls.Count);
            Assert.Equal(1_500, (await Api.CountsAsync(slow))["delivered"]);
            (await Api.PostAsync($"/api/campaigns/{slow}/limit", new { ratePerSecond = 5 })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
        }
        finally
        {
            await worker.StopAsync(CancellationToken.None);
        }
    }

    [Fact]
    public async Task Calls_under_way_are_never_more_than_the_channel_allows_also_when_that_changes()
    {
        var (now, most, allowed, full) = (0, 0, 3, new TaskCompletionSource());
        _sink.Answer = async (_, http) =>
        {
            var under = Interlocked.Increment(ref now);
            lock (_sink) most = Math.Max(most, under);
            if (under == allowed)
            {
                // A moment in which one too many would come.
                await service.ScalarAsync<string>("SELECT pg_sleep(0.05)::text");
                full.TrySetResult();
            }
            await full.Task;
            // Before anything of the answer is sent: whoever has it may begin the next.
            Interlocked.Decrement(ref now);
        };
        var (template, channel) = await Api.NewWebhookAsync(_sink.Url, new { maxConcurrency = 3 });
        var id = await Api.SendToAsync(template, 900);
        await service.DeliverAsync();
        Assert.Equal(900, (await Api.CountsAsync(id))["delivered"]);
        Assert.Equal(3, most);
        await Api.PutAsync($"/api/channels/{channel}", new { settings = new { maxConcurrency = 1 } });
        (most, allowed, full) = (0, 1, new TaskCompletionSource());
        var second = await Api.SendToAsync(template, 300);
        await service.DeliverAsync();
        Assert.Equal((300, 1), ((await Api.CountsAsync(second))["delivered"], most));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("100001")]
    [InlineData("\"fast\"")]
    public async Task A_limit_that_is_none_is_refused(string rate)
    {
        var id = await Api.NewCampaignAsync((await Api.NewWebhookAsync(_sink.Url)).Template);
        var refused = (await Api.SendAsync(HttpMethod.Post, $"/api/campaigns/{id}/limit", $$"""{"ratePerSecond": {{rate}}}""")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.StartsWith("ratePerSecond: must be a number", Assert.Single(refused.Details), StringComparison.Ordinal);
        (await Api.SendAsync(HttpMethod.Post, $"/api/campaigns/{id}/limit", "{}")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(JsonValueKind.Null, (await Api.DoAsync(id, "limit", new { ratePerSecond = (double?)null })).GetProperty("ratePerSecond").ValueKind);
    }

    /// <summary>No second has more starts than the limit: wherever it begins, its beginning counted and its end not, and with both one more; nor one of the clock.</summary>
    private static void AssertHolds(DateTimeOffset[] starts, int perSecond)
    {
        for (int first = 0, closed = 0, last = 0; last < starts.Length; last++)
        {
            while (starts[last] - starts[first] >= TimeSpan.FromSeconds(1)) first++;
            while (starts[last] - starts[closed] > TimeSpan.FromSeconds(1)) closed++;
            Assert.True(last - first + 1 <= perSecond, $"{last - first + 1} starts in the second up to {starts[last]:O}");
            Assert.True(last - closed + 1 <= perSecond + 1, $"{last - closed + 1} starts from {starts[closed]:O} to {starts[last]:O}");
        }
        Assert.InRange(starts.GroupBy(s => s.ToUnixTimeSeconds()).Max(s => s.Count()), 1, perSecond);
    }

    /// <summary>Three processes, as far as a limit goes: each with connections of its own to one database.</summary>
    private sealed class Processes : IAsyncDisposable
    {
        private readonly NpgsqlDataSource[] _sources;
        private readonly RateSlots[] _slots;

        private Processes(NpgsqlDataSource[] sources, RateSlots[] slots) => (_sources, _slots) = (sources, slots);

        public static async Task<Processes> StartAsync(string connectionString, double perSecond)
        {
            var scope = $"channel:{Guid.NewGuid()}";
            NpgsqlDataSource[] sources = [.. Enumerable.Range(0, 3).Select(_ => NpgsqlDataSource.Create(connectionString))];
            // Connected before the first takes anything: in a process that sends it is so, too.
            foreach (var source in sources) await (await source.OpenConnectionAsync()).DisposeAsync();
            return new Processes(sources, [.. sources.Select(source => new RateSlots(source, scope, TimeProvider.System) { PerSecond = perSecond })]);
        }

        public double PerSecond
        {
            set => Array.ForEach(_slots, s => s.PerSecond = value);
        }

        public RateSlots this[int process] => _slots[process];

        /// <summary>Takes so many in each, all at once.</summary>
        public async Task<DateTimeOffset[]> TakeAsync(int each)
        {
            var taken = await Task.WhenAll(_slots.Select(async slots =>
            {
                var starts = new List<DateTimeOffset>();
                for (var i = 0; i < each; i++) starts.Add(await slots.TakeAsync(1, CancellationToken.None));
                return starts;
            }));
            return [.. taken.SelectMany(s => s).Order()];
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var slots in _slots) slots.Dispose();
            foreach (var source in _sources) await source.DisposeAsync();
        }
    }
}
