using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace CampaignService.IntegrationTests.Support;

/// <summary>Calls the API as a backend would, and gives answers that are easy to look into.</summary>
public sealed class Api(HttpClient http)
{
    /// <summary>The channel of <see cref="NewTemplateAsync"/>.</summary>
    public const string Inbox = "inbox";

    private static readonly JsonSerializerOptions Web = new(JsonSerializerDefaults.Web);

    public HttpClient Http { get; } = http;

    public Task<Answer> GetAsync(string path) => SendAsync(HttpMethod.Get, path, null);

    public Task<Answer> DeleteAsync(string path) => SendAsync(HttpMethod.Delete, path, null);

    public Task<Answer> PostAsync(string path, object? body = null) => SendAsync(HttpMethod.Post, path, body);

    public Task<Answer> PutAsync(string path, object? body = null) => SendAsync(HttpMethod.Put, path, body);

    public Task<Answer> PatchAsync(string path, object? body = null) => SendAsync(HttpMethod.Patch, path, body);

    /// <summary>Sends a body; a string goes as it is, so that tests can send broken JSON.</summary>
    public async Task<Answer> SendAsync(HttpMethod method, string path, object? body)
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null) request.Content = new StringContent(body as string ?? JsonSerializer.Serialize(body, Web), Encoding.UTF8, "application/json");
        using var response = await Http.SendAsync(request);
        return await Answer.OfAsync(response);
    }

    public Task<Answer> UploadAsync(string campaignId, string csv) => UploadAsync(campaignId, Encoding.UTF8.GetBytes(csv));

    public async Task<Answer> UploadAsync(string campaignId, byte[] csv)
    {
        var file = new ByteArrayContent(csv);
        file.Headers.ContentType = new MediaTypeHeaderValue("text/csv");
        using var form = new MultipartFormDataContent { { file, "file", "recipients.csv" }, { new StringContent(campaignId), "campaignId" } };
        using var response = await Http.PostAsync("/api/campaigns/upload", form);
        return await Answer.OfAsync(response);
    }

    /// <summary>A channel for in-app messages and an approved template on it with the variables name (required) and city.</summary>
    /// <returns>The slug of the template.</returns>
    public async Task<string> NewTemplateAsync(object? content = null, object[]? variableSchema = null, string status = "approved")
    {
        // Made by whichever test comes first; the others are told that it is there.
        var channel = await PostAsync("/api/channels", new { name = "Inbox", channelId = Inbox, type = "in_app" });
        if (channel.Status != HttpStatusCode.Conflict) channel.ShouldBe(HttpStatusCode.Created);
        var template = await PostAsync("/api/templates", new
        {
            name = "Greeting",
            status,
            variableSchema = variableSchema ?? [new { key = "name", required = true }, new { key = "city" }],
            channels = new[] { new { channelType = "in_app", channelId = Inbox, content = content ?? new { title = "Hello {{name}}", body = "How is {{ city | default: \"your town\" }}?" } } },
        });
        return template.ShouldBe(HttpStatusCode.Created).Data.GetProperty("templateId").GetString()!;
    }

    /// <summary>A draft campaign with that template, or one of its own.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> NewCampaignAsync(string? templateId = null, object? variables = null, string deliveryMode = "batch")
    {
        var campaign = await PostAsync("/api/campaigns", new { name = "Test", templateId = templateId ?? await NewTemplateAsync(), variables, deliveryMode });
        return campaign.ShouldBe(HttpStatusCode.Created).Data.GetProperty("id").GetString()!;
    }

    public async Task<JsonElement> CampaignAsync(string id) => (await GetAsync($"/api/campaigns/{id}")).ShouldBe(HttpStatusCode.OK).Data;
}

/// <summary>An answer, read whole.</summary>
public sealed record Answer(HttpStatusCode Status, string Text, HttpResponseHeaders Headers, string? ContentType)
{
    public static async Task<Answer> OfAsync(HttpResponseMessage response) =>
        new(response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers, response.Content.Headers.ContentType?.MediaType);

    public JsonElement Json => JsonDocument.Parse(Text).RootElement;

    /// <summary>The member <c>data</c>.</summary>
    public JsonElement Data => Json.GetProperty("data");

    /// <summary>The code of a refusal.</summary>
    public string Code => Json.GetProperty("error").GetProperty("code").GetString()!;

    /// <summary>The faults that a bad request lists.</summary>
    public string[] Details => [.. Json.GetProperty("error").GetProperty("details").EnumerateArray().Select(d => d.GetString()!)];

    public Answer ShouldBe(HttpStatusCode status)
    {
        Assert.True(status == Status, $"expected {(int)status}, got {(int)Status}: {Text}");
        return this;
    }

    /// <summary>A refusal with this status and code, in the form of all refusals.</summary>
    public Answer ShouldRefuse(HttpStatusCode status, string code)
    {
        ShouldBe(status);
        Assert.Equal("application/problem+json", ContentType);
        Assert.Equal(code, Code);
        Assert.Equal((int)status, Json.GetProperty("status").GetInt32());
        Assert.False(string.IsNullOrEmpty(Json.GetProperty("traceId").GetString()));
        Assert.False(string.IsNullOrEmpty(Json.GetProperty("error").GetProperty("message").GetString()));
        return this;
    }
}
