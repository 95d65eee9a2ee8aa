using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;
using Npgsql;

namespace CampaignService.Benchmarks;

/// <summary>A draft or what became of it: its id in the API and that of its batch in the database.</summary>
internal sealed record BenchCampaign(string Id, long Batch);

/// <summary>Drives a service over HTTP as a backend does, and looks into the database only to see when and whether it is right.</summary>
internal sealed class Product(ServiceProcess service, NpgsqlDataSource db) : IDisposable
{
    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler());
    private string _template = "";

    public void Dispose() => _http.Dispose();

    /// <summary>A channel and an approved template with three variables.</summary>
    public async Task PrepareAsync(CancellationToken ct)
    {
        await CallAsync("/api/channels", new { name = $"Inbox {Guid.NewGuid():N}", channelId = $"inbox-{service.Id}", type = "in_app" }, HttpStatusCode.Created, ct);
        var template = await CallAsync("/api/templates", new
        {
            name = $"Benchmark {service.Id}",
            status = "approved",
            variableSchema = new object[] { new { key = "name", required = true }, new { key = "city" }, new { key = "code" } },
            channels = new[]
            {
                new { channelType = "in_app", channelId = $"inbox-{service.Id}", content = new { title = "Hello {{name}}", body = "Your code for {{ city | default: \"your town\" }} is {{code}}." } },
            },
        }, HttpStatusCode.Created, ct);
        _template = template.GetProperty("id").GetString()!;
    }

    /// <summary>A channel of the type webhook and an approved template on it, which says what the other one says.</summary>
    /// <returns>The template.</returns>
    public async Task<string> WebhookTemplateAsync(string url, object settings, CancellationToken ct)
    {
        var given = JsonSerializer.SerializeToNode(settings)!.AsObject();
        given["url"] = url;
        var channel = await CallAsync("/api/channels", new { name = $"Hook {Guid.NewGuid():N}", type = "webhook", settings = given }, HttpStatusCode.Created, ct);
        var template = await CallAsync("/api/templates", new
        {
            name = "Webhook",
            status = "approved",
            variableSchema = new object[] { new { key = "name", required = true }, new { key = "city" }, new { key = "code" } },
            channels = new[]
            {
                new { channelType = "webhook", channelId = channel.GetProperty("channelId").GetString(), content = new { title = "Hello {{name}}", body = "Your code for {{ city | default: \"your town\" }} is {{code}}." } },
            },
        }, HttpStatusCode.Created, ct);
        return template.GetProperty("id").GetString()!;
    }

    public async Task<BenchCampaign> DraftAsync(CancellationToken ct, string? template = null)
    {
        var campaign = await CallAsync("/api/campaigns", new { name = "Benchmark", templateId = template ?? _template }, HttpStatusCode.Created, ct);
        var id = campaign.GetProperty("id").GetString()!;
        return new BenchCampaign(id, await db.ScalarAsync<long>($"SELECT batch_id FROM campaigns WHERE id = '{id}'", ct));
    }

    /// <summary>From before the first byte leaves until the answer is there, which comes after the commit.</summary>
    public async Task<TimeSpan> UploadAsync(BenchCampaign campaign, RecipientFile file, CancellationToken ct)
    {
        using var form = new MultipartFormDataContent { { new StringContent(campaign.Id), "campaignId" } };
        form.Add(new StreamContent(File.OpenRead(file.Csv), 64 * 1024), "file", "recipients.csv");
        var clock = Stopwatch.StartNew();
        var answer = await SendAsync(HttpMethod.Post, "/api/campaigns/upload", form, HttpStatusCode.OK, ct);
        clock.Stop();
        Require("rows uploaded", file.Rows, answer.GetProperty("uploaded").GetInt64());
        Require("recipients stored", file.Rows, await db.ScalarAsync<long>($"SELECT count(*) FROM recipients WHERE batch_id = {campaign.Batch}", ct));
        return clock.Elapsed;
    }

    /// <summary>From before the request to send until the batch has ended in the database, which is looked at every millisecond.</summary>
    /// <param name="campaign">What is sent.</param>
    /// <param name="ct">Stops it.</param>
    /// <param name="until">Before this is over it cannot have ended: until then it is not looked at, for that is at the cost of the product.</param>
    public async Task<TimeSpan> SendUntilEndedAsync(BenchCampaign campaign, CancellationToken ct, Func<Task>? until = null)
    {
        await using var connection = await db.OpenConnectionAsync(ct);
        await using var state = new NpgsqlCommand($"SELECT state FROM batches WHERE id = {campaign.Batch}", connection);
        await state.PrepareAsync(ct);
        var clock = Stopwatch.StartNew();
        await SendAsync(HttpMethod.Post, $"/api/campaigns/{campaign.Id}/send", null, HttpStatusCode.Accepted, ct);
        if (until is not null) await until();
        while ((short)(await state.ExecuteScalarAsync(ct))! != (short)Delivery.BatchState.Ended) await Task.Delay(1, ct);
        return clock.Elapsed;
    }

    /// <summary>A draft to a few people.</summary>
    public async Task<BenchCampaign> SmallDraftAsync(int recipients, CancellationToken ct)
    {
        var campaign = await DraftAsync(ct);
        var ids = Enumerable.Range(0, recipients).Select(i => $"few-{i}").ToArray();
        await CallAsync($"/api/campaigns/{campaign.Id}/recipients", new { userIds = ids, userVariables = ids.ToDictionary(id => id, _ => new { name = "Ann" }) }, HttpStatusCode.Created, ct);
        return campaign;
    }

    /// <summary>Calls a verb and returns when it has answered, whatever it answers when nothing is expected.</summary>
    public Task DoAsync(BenchCampaign campaign, string verb, object body, HttpStatusCode? expected, CancellationToken ct) =>
        CallAsync($"/api/campaigns/{campaign.Id}/{verb}", body, expected, ct);

    /// <summary>A direct notification to one user; returns when it is answered.</summary>
    public Task NotifyAsync(string user, CancellationToken ct) => CallAsync("/api/notifications/messages", new
    {
        templateId = _template,
        receivers = new[] { user },
        variables = new Dictionary<string, object> { [user] = new { name = "Ann", city = "Rome", code = "4711" } },
    }, HttpStatusCode.OK, ct);

    /// <summary>A connection of its own for direct sends to users whose ids begin so.</summary>
    public DirectSends OpenDirectSends(int connections) => new(service.Address, _template, connections);

    /// <summary>A read of a user's feed, as that user.</summary>
    /// <param name="route">Behind <c>/api/notification-feed</c>.</param>
    /// <param name="user">Who reads.</param>
    /// <param name="ct">Stops it.</param>
    public Task<JsonElement> ReadFeedAsync(string route, string user, CancellationToken ct) =>
        SendAsync(HttpMethod.Get, "/api/notification-feed" + route, null, HttpStatusCode.OK, ct, user);

    /// <summary>A fast result counts only when it is right: one feed row for each recipient, and the campaign says so.</summary>
    public async Task RecountAsync(BenchCampaign campaign, int recipients, CancellationToken ct)
    {
        Require("feed rows", recipients, await db.ScalarAsync<long>($"SELECT count(*) FROM feed_items WHERE source_id = {campaign.Batch}", ct));
        Require("users with a feed row", recipients, await db.ScalarAsync<long>($"SELECT count(DISTINCT user_id) FROM feed_items WHERE source_id = {campaign.Batch}", ct));
        var read = await SendAsync(HttpMethod.Get, $"/api/campaigns/{campaign.Id}", null, HttpStatusCode.OK, ct);
        Require("delivered by its totals", recipients, read.GetProperty("totals").GetProperty("delivered").GetInt64());
        if (read.GetProperty("status").GetString() is var status && status != "completed") throw new BenchException($"The campaign ended as {status}.");
    }

    /// <summary>Empties what campaigns leave, so that every repetition meets the same tables.</summary>
    public Task ClearAsync(CancellationToken ct) =>
        db.ExecuteAsync("TRUNCATE recipients, batch_exclusions, chunks, recipient_exceptions, feed_items, feed_receipts, notifications, idempotency_keys", ct);

    public static void Require(string what, long wanted, long found)
    {
        if (wanted != found) throw new BenchException($"{what}: {found:N0} instead of {wanted:N0}. Nothing measured here counts.");
    }

    private Task<JsonElement> CallAsync(string path, object body, HttpStatusCode? expected, CancellationToken ct) =>
        SendAsync(HttpMethod.Post, path, new StringContent(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json"), expected, ct);

    private async Task<JsonElement> SendAsync(HttpMethod method, string path, HttpContent? content, HttpStatusCode? expected, CancellationToken ct, string? onBehalfOf = null)
    {
        using var request = new HttpRequestMessage(method, new Uri(service.Address, path)) { Content = content };
        request.Headers.Add("appId", ServiceProcess.AppId);
        request.Headers.Add("apiKey", ServiceProcess.ApiKey);
        if (onBehalfOf is not null) request.Headers.Add("onBehalfOf", onBehalfOf);
        using var response = await _http.SendAsync(request, ct);
        var text = await response.Content.ReadAsStringAsync(ct);
        return expected is null || response.StatusCode == expected
            ? JsonDocument.Parse(text).RootElement.TryGetProperty("data", out var data) ? data : default
            : throw new BenchException($"{method} {path} answered {(int)response.StatusCode}: {text}");
    }
}
