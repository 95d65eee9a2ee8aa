using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using CampaignService.IntegrationTests.Chaos;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Delivery;

public sealed class CrashTests
{
    private const int Recipients = 200_000, Chunks = Recipients / 2000;

    [Fact]
    public async Task Killed_three_times_in_the_middle_of_sending_it_still_serves_everybody_exactly_once()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        string id;
        using (var service = await ServiceProcess.StartAsync(connectionString))
        {
            id = await service.Api.NewCampaignAsync();
            for (var part = 0; part < 2; part++) (await service.Api.UploadAsync(id, Csv(part * (Recipients / 2), Recipients / 2))).ShouldBe(HttpStatusCode.OK);
            (await service.Api.PostAsync($"/api/campaigns/{id}/send")).ShouldBe(HttpStatusCode.Accepted);
            await WaitForClosedChunksAsync(db, 10);
            await service.KillAsync();
        }
        for (var kill = 2; kill <= 3; kill++)
        {
            using var service = await ServiceProcess.StartAsync(connectionString);
            await WaitForClosedChunksAsync(db, 10 * kill);
            await service.KillAsync();
        }
        Assert.InRange(await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE state = 4"), 30, Chunks - 1);
        const string leftBehind = "SELECT count(*) FROM chunks WHERE lease_token IN (SELECT lease_token FROM left_behind)";
        await ScalarAsync(db, "CREATE TABLE left_behind AS SELECT lease_token FROM chunks WHERE state = 2; SELECT count(*) FROM left_behind");

        using var last = await ServiceProcess.StartAsync(connectionString);
        // What the dead had leased is taken over when their leases have run out, after 15 s: this is the real time of it, from when somebody is there who could.
        var listens = Stopwatch.GetTimestamp();
        await Eventually.HoldsAsync(async () => await ScalarAsync(db, leftBehind) == 0);
        Assert.InRange(Stopwatch.GetElapsedTime(listens), TimeSpan.Zero, TimeSpan.FromSeconds(30));
        await WaitForClosedChunksAsync(db, Chunks);
        await Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT count(*) FROM campaigns WHERE status = 2") == 0);
        var campaign = await last.Api.CampaignAsync(id);
        Assert.Equal("completed", campaign.GetProperty("status").GetString());
        Assert.Equal(Recipients, campaign.GetProperty("totals").GetProperty("delivered").GetInt32());
        Assert.Equal(Recipients, await ScalarAsync(db, "SELECT count(*) FROM feed_items"));
        Assert.Equal(Recipients, await ScalarAsync(db, "SELECT count(*) FROM (SELECT DISTINCT user_id FROM feed_items) u"));
        Assert.Equal(0, await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE lease_token IS NOT NULL"));
    }

    [Fact]
    public async Task Two_processes_starting_at_once_on_an_empty_database_both_come_up()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        var both = await Task.WhenAll(ServiceProcess.StartAsync(connectionString), ServiceProcess.StartAsync(connectionString));
        foreach (var service in both)
        {
            (await service.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.OK);
            service.Dispose();
        }
    }

    [Fact]
    public async Task A_process_that_is_only_api_leaves_the_sending_to_a_worker()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        using var api = await ServiceProcess.StartAsync(connectionString, ("Roles", "api"));
        var id = await api.Api.NewCampaignAsync(variables: new { name = "all" });
        await api.Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u1" } });
        await api.Api.PostAsync($"/api/campaigns/{id}/send");
        Assert.Equal(1, await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE state = 1"));

        using var worker = await ServiceProcess.StartAsync(connectionString, ("Roles", "worker"));
        await Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT count(*) FROM campaigns WHERE status = 2") == 0);
        Assert.Equal("completed", (await api.Api.CampaignAsync(id)).GetProperty("status").GetString());
        (await worker.Api.GetAsync("/api/channels")).ShouldBe(HttpStatusCode.NotFound);
        (await worker.Api.GetAsync("/health/live")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Stopped_while_sending_and_while_a_slow_upload_holds_it_up_it_ends_in_time_and_leaves_no_chunk_behind()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        await using var db = NpgsqlDataSource.Create(connectionString);
        using var service = await ServiceProcess.StartAsync(connectionString);
        var id = await service.Api.NewCampaignAsync();
        (await service.Api.UploadAsync(id, Csv(0, 100_000))).ShouldBe(HttpStatusCode.OK);
        using var never = new SlowContent();
        var upload = service.Api.Http.PostAsync("/api/campaigns/upload", never);
        await never.Begun;
        (await service.Api.PostAsync($"/api/campaigns/{id}/send")).ShouldBe(HttpStatusCode.Accepted);
        await WaitForClosedChunksAsync(db, 1);

        Assert.InRange(await service.StopAsync(), TimeSpan.Zero, TimeSpan.FromSeconds(12));
        Assert.Equal(0, await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE state = 2 OR starts > 0"));
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => upload);
    }

    /// <summary>An upload that begins and never ends.</summary>
    private sealed class SlowContent : HttpContent
    {
        private readonly TaskCompletionSource _begun = new();

        public SlowContent() => Headers.TryAddWithoutValidation("Content-Type", "multipart/form-data; boundary=b");

        public Task Begun => _begun.Task;

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\nuser_id\n"u8.ToArray());
            await stream.FlushAsync();
            _begun.SetResult();
            for (var i = 0; ; i++)
            {
                await Wait.ForAsync(TimeSpan.FromMilliseconds(100), CancellationToken.None);
                await stream.WriteAsync(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"slow-{i}\n")));
                await stream.FlushAsync();
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }

    private static string Csv(int from, int count)
    {
        var csv = new StringBuilder("user_id,name\n");
        for (var i = from; i < from + count; i++) csv.Append(CultureInfo.InvariantCulture, $"user-{i},Name {i}\n");
        return csv.ToString();
    }

    private static Task WaitForClosedChunksAsync(NpgsqlDataSource db, int count) =>
        Eventually.HoldsAsync(async () => await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE state = 4") >= count);

    private static async Task<long> ScalarAsync(NpgsqlDataSource db, string sql)
    {
        await using var command = db.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
