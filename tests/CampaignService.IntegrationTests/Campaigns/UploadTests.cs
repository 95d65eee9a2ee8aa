using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Campaigns;

public sealed class SmallUploads : TestService
{
    protected override Dictionary<string, string> Settings => new() { ["Limits:MaxCsvRows"] = "5", ["Limits:MaxUploadBytes"] = "2000" };
}

public sealed class UploadTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task What_came_in_by_a_second_file_with_other_columns_keeps_its_values_and_duplicates_keep_the_first()
    {
        var id = await Api.NewCampaignAsync();
        var first = (await Api.UploadAsync(id, "user_id,city\nb,Bern\na,Aarau\nb,Basel\n")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((2, 2, 1, 0), Numbers(first));
        var second = (await Api.UploadAsync(id, "NAME , UserId\nCleo,c\nBea,b\n,\nDan\n")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal((1, 3, 1, 2), Numbers(second));
        Assert.Equal(["blank_user_id", "too_few_fields"], second.GetProperty("errors").EnumerateArray().Select(e => e.GetProperty("code").GetString()!));
        Assert.Equal([4, 5], second.GetProperty("errors").EnumerateArray().Select(e => e.GetProperty("line").GetInt32()));

        Assert.Equal("""{"city":"Bern"}""", await VariablesAsync(id, "b"));
        Assert.Equal("""{"name":"Cleo"}""", await VariablesAsync(id, "c"));
        var summary = (await Api.GetAsync($"/api/campaigns/{id}/recipients/summary")).Data;
        Assert.Equal((2, 2), (summary.GetProperty("exclusions").GetProperty("duplicate").GetInt32(), summary.GetProperty("exclusions").GetProperty("rejected").GetInt32()));
    }

    [Fact]
    public async Task A_refused_file_adds_nothing_and_says_where()
    {
        var id = await Api.NewCampaignAsync();
        var refused = (await Api.UploadAsync(id, "user_id,name\na,Ann\nb,\"open\nc,Cleo\n")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Contains("line 3", Assert.Single(refused.Details), StringComparison.Ordinal);
        (await Api.UploadAsync(id, "user_id,colour\na,red\n")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(0, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("recipients").GetInt32());
    }

    [Fact]
    public async Task The_parts_may_come_in_either_order_and_both_are_needed()
    {
        var id = await Api.NewCampaignAsync();
        using var form = new MultipartFormDataContent { { new StringContent(id), "campaignId" }, { new StringContent("user_id\nu1\n"), "file", "r.csv" } };
        using var answer = await Api.Http.PostAsync("/api/campaigns/upload", form);
        (await Answer.OfAsync(answer)).ShouldBe(HttpStatusCode.OK);

        using var neither = new MultipartFormDataContent { { new StringContent("x"), "other" } };
        using var refused = await Api.Http.PostAsync("/api/campaigns/upload", neither);
        Assert.Equal(["campaignId", "file"], (await Answer.OfAsync(refused)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]).Order());
        (await Api.PostAsync("/api/campaigns/upload", new { campaignId = id })).ShouldRefuse(HttpStatusCode.UnsupportedMediaType, "ERR_UNSUPPORTED_MEDIA_TYPE");
    }

    [Fact]
    public async Task An_unknown_campaign_and_another_apps_are_not_found()
    {
        (await Api.UploadAsync("cmp_00000000000000000000000000000000", "user_id\nu\n")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        var id = await Api.NewCampaignAsync();
        var other = await service.NewAppAsync("other-upload");
        (await other.UploadAsync(id, "user_id\nu\n")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task Two_uploads_at_once_add_everybody_once()
    {
        var id = await Api.NewCampaignAsync();
        var files = Enumerable.Range(0, 4).Select(part => "user_id,name\n" + string.Concat(Enumerable.Range(part * 500, 1000).Select(i => $"u{i},N{i}\n")));
        var answers = await Task.WhenAll(files.Select(f => Api.UploadAsync(id, f)));
        Assert.All(answers, a => a.ShouldBe(HttpStatusCode.OK));
        Assert.Equal(2500, answers.Sum(a => a.Data.GetProperty("uploaded").GetInt32()));
        Assert.Equal(1500, answers.Sum(a => a.Data.GetProperty("duplicates").GetInt32()));
        Assert.Equal(2500, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("recipients").GetInt32());
    }

    [Fact]
    public async Task A_client_that_goes_away_half_way_leaves_nothing_behind()
    {
        var connectionString = await (await TestPostgres.SharedAsync()).NewDatabaseAsync();
        var temp = Directory.CreateTempSubdirectory("campaigns-spool-");
        using var process = await ServiceProcess.StartAsync(connectionString, ("TMPDIR", temp.FullName));
        var id = await process.Api.NewCampaignAsync();
        var server = process.Api.Http.BaseAddress!;
        using (var client = new TcpClient(server.Host, server.Port))
        {
            var head = $"POST /api/campaigns/upload HTTP/1.1\r\nHost: x\r\nappId: demo\r\napiKey: demo-key\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
                + $"--b\r\nContent-Disposition: form-data; name=\"campaignId\"\r\n\r\n{id}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.csv\"\r\n\r\nuser_id\nu1\nu2\n";
            await client.GetStream().WriteAsync(Encoding.UTF8.GetBytes(head));
            client.LingerState = new LingerOption(true, 0);
        }
        // Served after the broken one: the next request on the same campaign takes the lock that a half-done upload would hold.
        (await process.Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "z" } })).ShouldBe(HttpStatusCode.Created);
        Assert.Equal(1, (await process.Api.CampaignAsync(id)).GetProperty("totals").GetProperty("recipients").GetInt32());
        Assert.Empty(temp.GetFiles("*.csv"));
        temp.Delete(recursive: true);
    }

    [Fact]
    public async Task Ten_thousand_ids_are_taken_in_one_call_and_one_more_is_not()
    {
        var id = await Api.NewCampaignAsync();
        (await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = Enumerable.Range(0, 10_001).Select(i => $"u{i}") })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        var added = (await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = Enumerable.Range(0, 10_000).Select(i => $"u{i}") })).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal((10_000, 0, 10_000), (added.GetProperty("added").GetInt32(), added.GetProperty("duplicates").GetInt32(), added.GetProperty("total").GetInt32()));
    }

    [Fact]
    public async Task Faults_in_recipients_are_all_said_at_once_and_nobody_is_added()
    {
        var id = await Api.NewCampaignAsync();
        var shape = await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "ok", " ", new string('x', 256), null } });
        Assert.Equal(["userIds[1]", "userIds[2]", "userIds[3]"], shape.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]));
        var values = await Api.PostAsync($"/api/campaigns/{id}/recipients", """{"userIds":["a","b"],"userVariables":{"a":{"name":{},"colour":"x"},"z":{}}}""");
        Assert.Equal(["userVariables.a.colour", "userVariables.a.name", "userVariables.z"], values.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]).Order());
        Assert.Equal(0, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("recipients").GetInt32());
    }

    [Fact]
    public async Task Recipients_are_listed_in_order_page_by_page_and_found_by_a_part_of_their_id()
    {
        var id = await Api.NewCampaignAsync();
        string[] ids = ["Émile", "emile", "u-1", "u-2", "z", "😀", "a b", "a/b%c"];
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = ids });
        var seen = new List<string>();
        for (string? cursor = null; ;)
        {
            var page = (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit=3{(cursor is null ? "" : $"&cursor={cursor}")}")).ShouldBe(HttpStatusCode.OK);
            seen.AddRange(page.Data.EnumerateArray().Select(r => r.GetProperty("userId").GetString()!));
            if ((cursor = page.Json.GetProperty("meta").GetProperty("next").GetString()) is null) break;
        }
        Assert.Equal(ids.OrderBy(Encoding.UTF8.GetBytes, Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b))), seen);
        Assert.Equal(["Émile"], (await Api.GetAsync($"/api/campaigns/{id}/recipients?search={Uri.EscapeDataString("ÉM")}")).Data.EnumerateArray().Select(r => r.GetProperty("userId").GetString()!));
        (await Api.GetAsync($"/api/campaigns/{id}/recipients?limit=1001")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.GetAsync($"/api/campaigns/{id}/recipients/nobody")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Equal("a/b%c", (await Api.GetAsync($"/api/campaigns/{id}/recipients/{Uri.EscapeDataString("a/b%c")}")).Data.GetProperty("userId").GetString());
        Assert.Equal("😀", (await Api.GetAsync($"/api/campaigns/{id}/recipients/{Uri.EscapeDataString("😀")}")).Data.GetProperty("userId").GetString());
    }

    [Fact]
    public async Task The_ledger_as_CSV_has_a_line_for_each_message_and_no_formulas()
    {
        var id = await Api.NewCampaignAsync();
        await Api.UploadAsync(id, "user_id,name\n=1+1,Ann\n\"b,\"\"q\",Bea\nc,\n");
        await Api.PostAsync($"/api/campaigns/{id}/send");
        await service.DeliverAsync();
        var lines = (await Api.GetAsync($"/api/campaigns/{id}/recipients.csv")).ShouldBe(HttpStatusCode.OK).Text.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("user_id,channel_id,status,reason,detail,attempts,at", lines[0]);
        Assert.StartsWith("\"'=1+1\",inbox,delivered,,,1,", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("\"b,\"\"q\",inbox,delivered,", lines[2], StringComparison.Ordinal);
        Assert.StartsWith("c,inbox,skipped,missing_variable,name,", lines[3], StringComparison.Ordinal);
        Assert.Equal(4, lines.Length);
    }

    private static (int Uploaded, int Total, int Duplicates, int Rejected) Numbers(System.Text.Json.JsonElement upload) =>
        (upload.GetProperty("uploaded").GetInt32(), upload.GetProperty("total").GetInt32(), upload.GetProperty("duplicates").GetInt32(), upload.GetProperty("rejected").GetInt32());

    private async Task<string> VariablesAsync(string id, string userId) => (await Api.GetAsync($"/api/campaigns/{id}/recipients/{userId}")).Data.GetProperty("variables").GetRawText();
}

public sealed class UploadLimitTests(SmallUploads service) : IClassFixture<SmallUploads>
{
    [Fact]
    public async Task More_rows_than_allowed_refuse_the_file_and_the_last_allowed_one_does_not()
    {
        var id = await service.Api.NewCampaignAsync();
        var rows = string.Concat(Enumerable.Range(0, 6).Select(i => string.Create(CultureInfo.InvariantCulture, $"u{i}\n")));
        (await service.Api.UploadAsync(id, "user_id\n" + rows)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await service.Api.UploadAsync(id, "user_id\n" + rows[..^3])).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_file_over_the_limit_is_too_large()
    {
        var id = await service.Api.NewCampaignAsync();
        (await service.Api.UploadAsync(id, "user_id\n" + new string('x', 2000))).ShouldRefuse(HttpStatusCode.RequestEntityTooLarge, "ERR_TOO_LARGE");
    }
}
