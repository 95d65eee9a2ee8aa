using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using CampaignService.IntegrationTests.Support;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;

namespace CampaignService.IntegrationTests;

/// <summary>The document says everything about every route, and what it says is true.</summary>
public sealed partial class OpenApiTests(TestService service) : IClassFixture<TestService>
{
    private const string Address = "/swagger/v1/swagger.json";

    [Fact]
    public async Task The_document_and_its_UI_need_no_key()
    {
        var nobody = service.Client();
        Assert.Equal("Campaigns", (string?)(await DocumentAsync(nobody))["info"]!["title"]);
        Assert.Contains("Campaigns API", (await nobody.GetAsync("/swagger/index.html")).ShouldBe(HttpStatusCode.OK).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_document_is_valid()
    {
        var read = OpenApiDocument.Parse((await service.Client().GetAsync(Address)).Text, "json");

        Assert.Empty(read.Diagnostic!.Errors.Select(e => e.ToString()));
        Assert.Empty(read.Diagnostic.Warnings.Select(e => e.ToString()));
        Assert.Equal(OpenApiSpecVersion.OpenApi3_1, read.Diagnostic.SpecificationVersion);
    }

    [Fact]
    public async Task Every_route_of_the_service_is_in_it_and_no_other()
    {
        var routes = service.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => !PageRoute().IsMatch(PathOf(e)))
            .SelectMany(e => (e.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]).Select(method => $"{method} {PathOf(e)}"));

        Assert.Equal(routes.Order(StringComparer.Ordinal), (await OperationsAsync()).Select(o => o.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Every_operation_has_a_summary_a_known_group_and_a_name_of_its_own()
    {
        var operations = await OperationsAsync();
        var groups = (await DocumentAsync())["tags"]!.AsArray().Select(t => (string)t!["name"]!).ToList();

        Assert.All(operations, o => Assert.False(string.IsNullOrWhiteSpace((string?)o.Node["summary"]), o.Name));
        Assert.All(operations, o => Assert.Contains((string)Assert.Single(o.Node["tags"]!.AsArray())!, groups));
        Assert.All(operations, o => Assert.Matches("^[A-Z][A-Za-z]+_[A-Z][A-Za-z]+$", (string?)o.Node["operationId"]));
        Assert.Equal(operations.Count, operations.Select(o => (string)o.Node["operationId"]!).Distinct().Count());
        // The order in which somebody new needs them.
        Assert.Equal(["Channels", "Templates", "Campaigns", "Recipients"], groups.Take(4));
    }

    [Fact]
    public async Task Every_operation_documents_its_success_and_its_refusals()
    {
        foreach (var (name, node) in await OperationsAsync())
        {
            var answers = node["responses"]!.AsObject();
            Assert.True(answers.Any(a => a.Key[0] == '2'), $"{name} has no success");
            Assert.All(answers, a => Assert.False(string.IsNullOrWhiteSpace((string?)a.Value!["description"]), $"{name} {a.Key}"));
            Assert.All(answers.Where(a => a.Key[0] == '2' && a.Key != "204"), a => Assert.True(a.Value!["content"] is not null, $"{name} {a.Key} says nothing of its body"));
            if (IsProbe(name)) continue;
            Assert.All(Expected(name, node), status => Assert.True(answers.ContainsKey(status), $"{name} lacks {status}"));
            Assert.All(answers.Where(a => a.Key[0] is '4' or '5'), a =>
                Assert.Equal("#/components/schemas/Problem", (string?)a.Value!["content"]!["application/problem+json"]!["schema"]!["$ref"]));
        }
    }

    [Fact]
    public async Task Every_member_of_every_schema_has_a_description()
    {
        var missing = from schema in (await DocumentAsync())["components"]!["schemas"]!.AsObject()
                      from member in schema.Value!["properties"]?.AsObject() ?? []
                      where string.IsNullOrWhiteSpace((string?)member.Value!["description"])
                      select $"{schema.Key}.{member.Key}";

        Assert.True(!missing.Any(), string.Join('\n', missing));
    }

    [Fact]
    public async Task Every_parameter_has_a_description_and_a_name_in_camel_case()
    {
        var parameters = from operation in await OperationsAsync()
                         from parameter in operation.Node["parameters"]?.AsArray() ?? []
                         select (operation.Name, Parameter: (string)parameter["name"]!, Description: (string?)parameter["description"]);

        Assert.DoesNotContain(parameters, p => string.IsNullOrWhiteSpace(p.Description) || (!char.IsLower(p.Parameter[0]) && p.Parameter != "Idempotency-Key"));
    }

    [Fact]
    public async Task Every_POST_but_uploads_takes_an_idempotency_key_and_says_so()
    {
        var without = (await OperationsAsync()).Where(o => o.Name.StartsWith("POST ", StringComparison.Ordinal) && o.Node["parameters"]?.AsArray().Any(p => (string?)p!["name"] == "Idempotency-Key") != true);

        Assert.Equal(["POST /api/campaigns/upload"], without.Select(o => o.Name));
    }

    [Fact]
    public async Task Every_operation_says_which_headers_open_it()
    {
        foreach (var (name, node) in await OperationsAsync())
        {
            var schemes = node["security"]!.AsArray().SelectMany(s => s!.AsObject().Select(scheme => scheme.Key));
            Assert.Equal(IsProbe(name) ? [] : name.Contains(" /api/apps", StringComparison.Ordinal) ? ["operatorKey"]
                : name.Contains("/notification-feed", StringComparison.Ordinal) ? ["appId", "apiKey", "userToken"] : ["appId", "apiKey"], schemes);
        }
        var all = (await DocumentAsync())["components"]!["securitySchemes"]!.AsObject();
        Assert.Equal(("http", "bearer"), ((string?)all["userToken"]!["type"], (string?)all["userToken"]!["scheme"]));
        foreach (var (name, scheme) in all.Where(s => s.Key != "userToken"))
            Assert.Equal(("apiKey", "header", name), ((string?)scheme!["type"], (string?)scheme["in"], (string?)scheme["name"]));
    }

    [Fact]
    public async Task Contracts_are_shown_as_callers_see_them()
    {
        var schemas = (await DocumentAsync())["components"]!["schemas"]!;

        Assert.Equal("#/components/schemas/Campaign", (string?)schemas["OneOfCampaign"]!["properties"]!["data"]!["$ref"]);
        Assert.Equal(["null", "string"], Texts(schemas["EditCampaign"]!["properties"]!["tag"]!["type"]));
        Assert.Equal(["name", "templateId"], Texts(schemas["CreateCampaign"]!["required"]));
        Assert.Equal("batch", (string?)schemas["CreateCampaign"]!["properties"]!["deliveryMode"]!["default"]);
        Assert.Equal("date-time", (string?)schemas["Campaign"]!["properties"]!["createdAt"]!["format"]);
        Assert.Contains("null", Texts(schemas["Campaign"]!["properties"]!["startedAt"]!["type"]));
        Assert.Equal(["#/components/schemas/StatusReason", "null"],
            schemas["Campaign"]!["properties"]!["statusReason"]!["oneOf"]!.AsArray().Select(s => (string?)(s!["$ref"] ?? s["type"])!));
        Assert.Contains("partially_failed", Texts(schemas["CampaignStatus"]!["enum"]));
        Assert.Contains("`partially_failed`: Some", (string?)schemas["CampaignStatus"]!["description"], StringComparison.Ordinal);
        Assert.DoesNotContain("type", schemas["Campaign"]!["properties"]!["variables"]!["additionalProperties"]!.AsObject().Select(k => k.Key));
        Assert.Equal((1, 10_000), ((int)schemas["AddRecipients"]!["properties"]!["userIds"]!["minItems"]!, (int)schemas["AddRecipients"]!["properties"]!["userIds"]!["maxItems"]!));
    }

    [Fact]
    public async Task A_file_is_uploaded_as_a_form_and_the_ledger_comes_as_CSV()
    {
        var paths = (await DocumentAsync())["paths"]!;

        var form = paths["/api/campaigns/upload"]!["post"]!["requestBody"]!["content"]!["multipart/form-data"]!["schema"]!;
        Assert.Equal(["campaignId", "file"], form["properties"]!.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));
        Assert.Equal("binary", (string?)form["properties"]!["file"]!["format"]);
        Assert.Equal("text/csv", Assert.Single(paths["/api/campaigns/{id}/recipients.csv"]!["get"]!["responses"]!["200"]!["content"]!.AsObject()).Key);
    }

    [Fact]
    public async Task The_limits_it_names_are_the_limits_that_hold()
    {
        var tried = 0;
        foreach (var (operation, node) in await OperationsAsync())
        {
            if ((string?)node["requestBody"]?["content"]?["application/json"]?["schema"]?["$ref"] is not { } reference) continue;
            foreach (var (member, schema) in (await DocumentAsync())["components"]!["schemas"]![reference.Split('/')[^1]]!["properties"]!.AsObject())
            {
                foreach (var (value, allowed) in AtTheLimits(schema!))
                {
                    var faulty = (await FaultsAsync(operation, member, value)).Any(f => f.StartsWith(member, StringComparison.Ordinal));
                    Assert.True(faulty != allowed, $"{operation}: {member} of length {(value is JsonArray a ? a.Count : ((string)value!).Length)} is {(faulty ? "refused" : "taken")}");
                    tried++;
                }
            }
        }
        Assert.True(tried > 20, $"only {tried} limits were found");
    }

    [Fact]
    public async Task The_examples_work_in_the_order_of_the_description()
    {
        var operations = await OperationsAsync();
        string? campaign = null;
        foreach (var path in new[] { "/api/channels", "/api/templates", "/api/campaigns", "/api/campaigns/{id}/recipients" })
        {
            var content = operations.Single(o => o.Name == $"POST {path}").Node["requestBody"]!["content"]!["application/json"]!;
            var answer = await service.Api.PostAsync(path.Replace("{id}", campaign, StringComparison.Ordinal), content["example"]!.ToJsonString());
            answer.ShouldBe(HttpStatusCode.Created);
            if (path == "/api/campaigns") campaign = answer.Data.GetProperty("id").GetString();
        }
        (await service.Api.PostAsync($"/api/campaigns/{campaign}/send")).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        Assert.Equal(2, (await service.Api.CampaignAsync(campaign!)).GetProperty("totals").GetProperty("delivered").GetInt64());
    }

    [Fact]
    public async Task Every_code_of_the_catalog_stands_in_the_description()
    {
        var description = (string?)(await DocumentAsync())["info"]!["description"];
        var catalog = typeof(Common.Errors).GetMethods().Where(m => m.ReturnType == typeof(Common.ApiError));
        var codes = catalog.Select(m => ((Common.ApiError)m.Invoke(null, [.. m.GetParameters().Select(p => Any(p.ParameterType))])!).Code);

        Assert.All(codes, code => Assert.Contains($"`{code}`", description, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_user_on_whose_behalf_a_feed_is_read_is_a_header_that_a_token_can_stand_for()
    {
        var headers = (await OperationsAsync()).Where(o => o.Name.Contains("/notification-feed", StringComparison.Ordinal))
            .Select(o => o.Node["parameters"]!.AsArray().Single(p => (string?)p!["in"] == "header" && (string?)p["name"] != "Idempotency-Key")!);

        Assert.All(headers, h => Assert.Equal(("onBehalfOf", false), ((string?)h["name"], (bool?)h["required"] ?? false)));
        Assert.All(headers, h => Assert.Contains("token", (string?)h["description"], StringComparison.Ordinal));
    }

    private static object? Any(Type type) => type.IsValueType ? Activator.CreateInstance(type) : type == typeof(string) ? "x" : Array.Empty<string>();

    private static bool IsProbe(string operation) => operation.EndsWith(" /metrics", StringComparison.Ordinal) || operation.Contains(" /health/", StringComparison.Ordinal);

    private static string[] Expected(string operation, JsonNode node)
    {
        string[] always = ["400", "401", "503"];
        if (!operation.Contains(" /api/apps", StringComparison.Ordinal)) always = [.. always, "403"];
        if (operation.Contains("{id}", StringComparison.Ordinal)) always = [.. always, "404"];
        if (!operation.StartsWith("GET", StringComparison.Ordinal)) always = [.. always, "409"];
        return node["requestBody"] is null ? always : [.. always, "413", "415"];
    }

    private static string[] Texts(JsonNode? list) => [.. list!.AsArray().Select(t => (string)t!).Order(StringComparer.Ordinal)];

    /// <summary>For each limit a value that just keeps it and one that just does not.</summary>
    private static IEnumerable<(JsonNode Value, bool Allowed)> AtTheLimits(JsonNode schema)
    {
        if (schema["maxLength"] is { } longest)
        {
            yield return (new string('a', (int)longest), true);
            yield return (new string('a', (int)longest + 1), false);
        }
        if (schema["minLength"] is not null) yield return ("", false);
        if (schema["maxItems"] is { } most && (string?)schema["items"]!["type"] == "string")
        {
            yield return (Filled((int)most), true);
            yield return (Filled((int)most + 1), false);
        }
        if (schema["minItems"] is not null) yield return (new JsonArray(), false);
    }

    private static JsonArray Filled(int count) => [.. Enumerable.Range(0, count).Select(i => JsonValue.Create($"u{i}"))];

    /// <summary>What is wrong with a body that has this member alone; others are missing, which is also said.</summary>
    private async Task<string[]> FaultsAsync(string operation, string member, JsonNode value)
    {
        var (method, path) = (operation.Split(' ')[0], operation.Split(' ')[1]);
        var api = path.StartsWith("/api/apps", StringComparison.Ordinal) ? service.Client(("operatorKey", TestService.OperatorKey)) : service.Api;
        var answer = await api.SendAsync(new HttpMethod(method), RouteParameter().Replace(path, "none"), new JsonObject { [member] = value }.ToJsonString());
        return answer.Status == HttpStatusCode.BadRequest ? answer.Details : [];
    }

    private async Task<JsonNode> DocumentAsync(Api? by = null) => JsonNode.Parse((await (by ?? service.Client()).GetAsync(Address)).ShouldBe(HttpStatusCode.OK).Text)!;

    private async Task<List<(string Name, JsonNode Node)>> OperationsAsync() =>
        [.. from path in (await DocumentAsync())["paths"]!.AsObject() from operation in path.Value!.AsObject() select ($"{operation.Key.ToUpperInvariant()} {path.Key}", operation.Value)];

    private static string PathOf(RouteEndpoint endpoint) => "/" + Constraint().Replace(endpoint.RoutePattern.RawText!.TrimStart('/'), "}");

    [GeneratedRegex("^/(swagger|dashboard)")]
    private static partial Regex PageRoute();

    [GeneratedRegex(@":[^}]*\}")]
    private static partial Regex Constraint();

    [GeneratedRegex(@"\{\w+\}")]
    private static partial Regex RouteParameter();
}

/// <summary>Whoever does not want to show the document can turn it off.</summary>
public sealed class OpenApiDisabledTests(OpenApiDisabledTests.Hidden service) : IClassFixture<OpenApiDisabledTests.Hidden>
{
    [Theory]
    [InlineData("/swagger/v1/swagger.json")]
    [InlineData("/swagger")]
    [InlineData("/swagger/index.html")]
    public async Task Turned_off_neither_the_document_nor_its_UI_is_served(string path) =>
        (await service.Client().GetAsync(path)).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");

    public sealed class Hidden : TestService
    {
        protected override Dictionary<string, string> Settings => new() { ["Swagger:Enabled"] = "false" };
    }
}
