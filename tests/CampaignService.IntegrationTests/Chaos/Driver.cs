using System.Net;
using System.Text.Json;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>Uses the API as a backend would that does not give up: what was not answered is tried again.</summary>
internal sealed class Driver(Slot api, ChaosReport report)
{
    private const string Inbox = "chaos-inbox", News = "chaos-news";

    private readonly Dictionary<bool, string> _templates = [];
    private readonly List<Subject> _subjects = [];

    public Subject[] Subjects
    {
        get
        {
            lock (_subjects) return [.. _subjects];
        }
    }

    /// <summary>Creates a campaign and loads its recipients.</summary>
    public async Task<Subject> CreateAsync(int number, CancellationToken ct)
    {
        var subject = new Subject(number, report.Plan.Recipients);
        if (!_templates.TryGetValue(subject.IsDouble, out var template)) _templates[subject.IsDouble] = template = await NewTemplateAsync(subject.IsDouble ? [Inbox, News] : [Inbox], ct);
        // Its answer may be lost, and a draft with it: the next try makes another.
        var created = await InsistAsync(a => a.PostAsync("/api/campaigns", new { name = $"Chaos {number}", templateId = template }), ct, HttpStatusCode.Created);
        subject.Id = created.Data.GetProperty("id").GetString()!;
        var csv = subject.Csv();
        // Twice is as good as once: whoever is in the campaign already is a duplicate.
        await InsistAsync(a => a.UploadAsync(subject.Id, csv), ct, HttpStatusCode.OK);
        lock (_subjects) _subjects.Add(subject);
        return subject;
    }

    public async Task ScheduleAsync(Subject subject, DateTimeOffset at, DateTimeOffset? stopAt, CancellationToken ct)
    {
        subject.ScheduledAt = at;
        // It may end before that.
        if (stopAt is not null) subject.IsStopped = null;
        await InsistAsync(a => a.PostAsync($"/api/campaigns/{subject.Id}/schedule", new { scheduledAt = at, stopAt }), ct, HttpStatusCode.OK);
    }

    /// <summary>Serves those whom a stop left out.</summary>
    public async Task RetryStoppedAsync(string id, CancellationToken ct)
    {
        var subject = Subjects.Single(s => s.Id == id);
        var body = new { include = new[] { "failed", "skipped" } };
        var answer = await InsistAsync(a => a.PostAsync($"/api/campaigns/{id}/retry-failed", body), ct, HttpStatusCode.Accepted, HttpStatusCode.Conflict);
        if (answer.Status == HttpStatusCode.Accepted) (subject.IsStopped, subject.HasEnded) = (false, false);
    }

    /// <summary>Does to one of the campaigns what can be done to it just now: sends, pauses, resumes or, rarely, stops it.</summary>
    public async Task DisturbAsync(Random random, CancellationToken ct)
    {
        Subject[] open = [.. Subjects.Where(s => !s.HasEnded)];
        if (open.Length == 0) return;
        var subject = open[random.Next(open.Length)];
        var (share, mayStop) = (random.Next(10), Subjects.Count(s => s.IsStopped != false) < report.Plan.Campaigns / 4);
        var status = (await TryAsync(a => a.GetAsync($"/api/campaigns/{subject.Id}"), ct))?.StatusOfCampaign();
        var verb = (status, share) switch
        {
            (null or "scheduled", _) => null,
            ("draft", _) => "send",
            ("sending" or "paused", 0) when mayStop => "stop",
            ("sending", < 7) => "pause",
            ("sending", _) => null,
            ("paused", _) => "resume",
            _ => "",
        };
        if (verb == "") subject.HasEnded = true;
        if (string.IsNullOrEmpty(verb)) return;

        var answer = await TryAsync(a => a.PostAsync($"/api/campaigns/{subject.Id}/{verb}"), ct);
        Check(answer, $"{verb} of {subject.Id}", HttpStatusCode.OK, HttpStatusCode.Accepted, HttpStatusCode.Conflict, HttpStatusCode.ServiceUnavailable);
        var wasDone = answer?.Status switch { HttpStatusCode.OK or HttpStatusCode.Accepted => true, HttpStatusCode.Conflict => false, _ => (bool?)null };
        if (wasDone == true) report.Verbs++;
        if (verb == "stop" && wasDone != false && subject.IsStopped != true) subject.IsStopped = wasDone;
    }

    /// <summary>Sends what is a draft and resumes what is paused, wherever the faults have left it.</summary>
    public async Task GoOnAsync(CancellationToken ct)
    {
        foreach (var subject in Subjects.Where(s => !s.HasEnded))
        {
            var campaign = await InsistAsync(a => a.GetAsync($"/api/campaigns/{subject.Id}"), ct, HttpStatusCode.OK);
            var verb = campaign.StatusOfCampaign() switch
            {
                "draft" => "send",
                // What is paused is not stopped behind anybody's back, and cannot go on after its time either.
                "paused" when campaign.Data.GetProperty("stopAt") is { ValueKind: JsonValueKind.String } stopAt && stopAt.GetDateTimeOffset() <= TimeProvider.System.GetUtcNow() => "stop",
                "paused" => "resume",
                "scheduled" or "sending" => null,
                _ => "",
            };
            if (verb == "") subject.HasEnded = true;
            // 409: a verb of a moment ago, whose answer was lost, was done by now.
            else if (verb is not null) await InsistAsync(a => a.PostAsync($"/api/campaigns/{subject.Id}/{verb}"), ct, HttpStatusCode.OK, HttpStatusCode.Accepted, HttpStatusCode.Conflict);
        }
    }

    /// <summary>Calls until it is answered with one of these; an answer that means neither yes nor later ends the run.</summary>
    public async Task<Answer> InsistAsync(Func<Api, Task<Answer>> call, CancellationToken ct, params HttpStatusCode[] wanted)
    {
        while (true)
        {
            var answer = await TryAsync(call, ct);
            if (answer is not null && wanted.Contains(answer.Status)) return answer;
            // 409: an earlier try whose answer was lost still holds the campaign.
            if (answer is { Status: not (HttpStatusCode.Conflict or HttpStatusCode.ServiceUnavailable) }) throw new InvalidOperationException($"{(int)answer.Status}: {answer.Text}\n{string.Join('\n', api.Errors)}");
            await Wait.ForAsync(TimeSpan.FromMilliseconds(50), ct);
        }
    }

    /// <returns>Null when nothing was answered.</returns>
    private async Task<Answer?> TryAsync(Func<Api, Task<Answer>> call, CancellationToken ct)
    {
        try
        {
            return await call(await api.ApiAsync(ct));
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return null;
        }
    }

    private void Check(Answer? answer, string what, params HttpStatusCode[] allowed)
    {
        if (answer is null || allowed.Contains(answer.Status)) return;
        lock (report) report.Violations.Add($"{what} was answered with {(int)answer.Status}: {answer.Text}");
    }

    private async Task<string> NewTemplateAsync(string[] channels, CancellationToken ct)
    {
        foreach (var channel in channels)
        {
            await InsistAsync(a => a.PostAsync("/api/channels", new { name = channel, channelId = channel, type = "in_app" }), ct, HttpStatusCode.Created, HttpStatusCode.Conflict);
        }
        var template = await InsistAsync(a => a.PostAsync("/api/templates", new
        {
            name = "Chaos",
            status = "approved",
            variableSchema = new object[] { new { key = "name", required = true }, new { key = "city" } },
            channels = channels.Select(c => new { channelType = "in_app", channelId = c, content = new { title = "Hello {{name}}", body = "How is {{city}}?" } }),
        }), ct, HttpStatusCode.Created);
        return template.Data.GetProperty("templateId").GetString()!;
    }
}

internal static class CampaignAnswer
{
    public static string? StatusOfCampaign(this Answer answer) => answer.Status == HttpStatusCode.OK ? answer.Data.GetProperty("status").GetString() : null;
}
