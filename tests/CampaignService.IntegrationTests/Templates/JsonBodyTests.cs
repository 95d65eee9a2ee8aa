using System.Net;
using System.Net.Http.Headers;
using System.Text;
using CampaignService.IntegrationTests.Support;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;

namespace CampaignService.IntegrationTests.Templates;

/// <summary>Bodies and requests that no route can take, tried on the routes of templates and channels; each refusal has the form of all refusals.</summary>
public sealed class JsonBodyTests(TestService service) : IClassFixture<TestService>
{
    [Theory]
    [InlineData("", "body: is empty; send a JSON object")]
    [InlineData("{", "body: is not valid JSON (line 1, byte 2 of that line)")]
    [InlineData("{\n  \"name\": tru\n}", "body: is not valid JSON (line 2, byte ")]
    [InlineData("not json", "body: is not valid JSON")]
    [InlineData("{} {}", "body: is not valid JSON")]
    [InlineData("null", "body: must be an object")]
    [InlineData("[]", "body: must be an object")]
    [InlineData("\"text\"", "body: must be an object")]
    [InlineData("""{"name": "\ud800"}""", "name: holds half of a surrogate pair")]
    [InlineData("""{"name": "\udc00\ud800"}""", "name: holds half of a surrogate pair")]
    [InlineData("""{"name": "a\u0000b"}""", "name: holds the character U+0000")]
    [InlineData("""{"label": "a\u0000b"}""", "label: holds the character U+0000")]
    [InlineData("""{"na\u0000me": 1}""", "body: has a member name with the character U+0000")]
    [InlineData("""{"na\ud800me": 1}""", "body: has a member name with half of a surrogate pair")]
    [InlineData("""{"channels": [{"channelType": "in_app", "content": {"deep": [{"t": "\ud83d"}]}}]}""", "channels[0].content.deep[0].t: holds half of a surrogate pair")]
    [InlineData("""{"channels": [{"channelType": "in_app", "content": {"a\u0000": 1}}]}""", "channels[0].content: has a member name with the character U+0000")]
    [InlineData("""{"channels": [{"channelType": "in_app", "content": {"a\udfff": 1}}]}""", "channels[0].content: has a member name with half of a surrogate pair")]
    [InlineData("""{"variableSchema": [{"key": "a", "defaultValue": "\ud800"}]}""", "variableSchema[0].defaultValue: holds half of a surrogate pair")]
    public async Task A_body_that_cannot_be_taken_is_400_and_says_where(string body, string fault)
    {
        var before = await service.ScalarAsync<long>("SELECT count(*) FROM templates");
        foreach (var content in new[] { body, body.Replace("\\ud", "\\uD", StringComparison.Ordinal) })
        {
            var answer = (await SendAsync("/api/templates", Encoding.UTF8.GetBytes(content))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
            Assert.Contains(answer.Details, d => d.StartsWith(fault, StringComparison.Ordinal));
        }
        Assert.Equal(before, await service.ScalarAsync<long>("SELECT count(*) FROM templates"));
    }

    [Fact]
    public async Task Bytes_that_are_no_utf8_are_400()
    {
        foreach (var body in new byte[][] { [.. "{\"name\": \""u8, 0xFF, .. "\"}"u8], [.. "{\""u8, 0xC3, .. "\": 1}"u8], [0xFF, 0xFE, (byte)'{', 0, (byte)'}', 0], [.. "{\"name\": \""u8, 0xED, 0xA0, 0x80, .. "\"}"u8] })
        {
            Assert.Equal("body: is not UTF-8", Assert.Single((await SendAsync("/api/templates", body)).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details));
        }
    }

    [Fact]
    public async Task Json_nested_too_deep_is_400() =>
        (await SendAsync("/api/templates", Encoding.UTF8.GetBytes("{\"x\":" + new string('[', 5000) + new string(']', 5000) + "}"))).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");

    [Fact]
    public async Task A_byte_order_mark_escaped_emoji_and_unknown_members_are_taken()
    {
        var body = """{"unknown": {"a": [1]}, "NAME": "\ud83d\ude00 and é", "type": "in_app"}""";
        var made = (await SendAsync("/api/channels", [.. "\uFEFF"u8, .. Encoding.UTF8.GetBytes(body)])).ShouldBe(HttpStatusCode.Created);
        Assert.Equal("😀 and é", made.Data.GetProperty("name").GetString());
    }

    [Fact]
    public async Task A_body_over_32_mib_is_413_and_one_within_is_read()
    {
        var padding = new byte[32 << 20];
        Array.Fill(padding, (byte)' ');
        var whole = "{\"type\":\"in_app\",\"name\":\"Big\"}"u8;
        whole.CopyTo(padding);
        (await SendAsync("/api/channels", padding)).ShouldBe(HttpStatusCode.Created);
        foreach (var chunked in new[] { false, true })
        {
            var answer = (await SendAsync("/api/channels", [.. padding, (byte)' '], chunked: chunked)).ShouldRefuse(HttpStatusCode.RequestEntityTooLarge, "ERR_TOO_LARGE");
            Assert.Contains("33,554,432", answer.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_servers_own_limit_lets_32_mib_pass()
    {
        await using var factory = new WebApplicationFactory<Program>().WithWebHostBuilder(builder => builder.UseEnvironment("Production")
            .UseSetting("ConnectionStrings:Campaigns", service.ConnectionString).UseSetting("Roles", "api").UseSetting("Serilog:MinimumLevel", "Fatal"));
        factory.UseKestrel(0);
        using var http = factory.CreateClient();
        http.DefaultRequestHeaders.Add("appId", "demo");
        http.DefaultRequestHeaders.Add("apiKey", "demo-key");
        using var content = Content([.. "{\"type\":\"in_app\",\"name\":\"On the wire\"}"u8, .. Enumerable.Repeat((byte)' ', 31 << 20)], "application/json");
        using var response = await http.PostAsync("/api/channels", content);
        (await Answer.OfAsync(response)).ShouldBe(HttpStatusCode.Created);
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/xml")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("application/json; charset=utf-16")]
    [InlineData(null)]
    public async Task Another_media_type_is_415(string? type) =>
        Assert.Contains("application/json", (await SendAsync("/api/channels", "{\"type\":\"in_app\",\"name\":\"x\"}"u8.ToArray(), type)).ShouldRefuse(HttpStatusCode.UnsupportedMediaType, "ERR_UNSUPPORTED_MEDIA_TYPE").Text, StringComparison.Ordinal);

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/json; charset=utf-8")]
    [InlineData("application/vnd.api+json")]
    public async Task Json_by_its_other_names_is_taken(string type) =>
        (await SendAsync("/api/channels", Encoding.UTF8.GetBytes($$"""{"type":"in_app","name":"{{type}}"}"""), type)).ShouldBe(HttpStatusCode.Created);

    [Theory]
    [InlineData("PATCH", "/api/templates/x")]
    [InlineData("DELETE", "/api/templates")]
    [InlineData("GET", "/api/templates/x/approve")]
    [InlineData("DELETE", "/api/channels/x")]
    public async Task Another_method_is_405_and_says_which_are_allowed(string method, string path)
    {
        var answer = (await service.Api.SendAsync(new HttpMethod(method), path, null)).ShouldRefuse(HttpStatusCode.MethodNotAllowed, "ERR_METHOD_NOT_ALLOWED");
        Assert.Contains("allowed: ", answer.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "/api/nothing")]
    [InlineData("POST", "/api/templates/x/nothing")]
    [InlineData("GET", "/nothing")]
    [InlineData("GET", "/")]
    public async Task An_unknown_route_is_404(string method, string path) =>
        (await service.Api.SendAsync(new HttpMethod(method), path, null)).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");

    [Theory]
    [InlineData("/api/templates?search=%00")]
    [InlineData("/api/templates?tags=%00")]
    [InlineData("/api/templates?templateCategory=%00")]
    public async Task A_nul_in_a_query_is_no_servers_fault(string path) =>
        Assert.Contains((await service.Api.GetAsync(path)).Code, new[] { "ERR_BAD_REQUEST", "ERR_NOT_FOUND" });

    private async Task<Answer> SendAsync(string path, byte[] body, string? type = "application/json", bool chunked = false)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = Content(body, type) };
        if (chunked) request.Headers.TransferEncodingChunked = true;
        using var response = await service.Api.Http.SendAsync(request);
        return await Answer.OfAsync(response);
    }

    private static ByteArrayContent Content(byte[] body, string? type)
    {
        var content = new ByteArrayContent(body);
        if (type is not null) content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        return content;
    }
}
