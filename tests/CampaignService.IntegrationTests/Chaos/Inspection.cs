using System.Net;
using System.Text.Json;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>What must be true after a run, whatever happened in it.</summary>
internal sealed class Inspection(string connectionString, ChaosReport report)
{
    public async Task LookAsync(Driver driver, CancellationToken ct)
    {
        await using var db = NpgsqlDataSource.Create(connectionString);
        report.FeedItems = await ScalarAsync(db, "SELECT count(*) FROM feed_items", ct);
        report.Duplicates = await ScalarAsync(db, "SELECT coalesce(sum(n - 1), 0)::bigint FROM (SELECT count(*) AS n FROM feed_items GROUP BY source_id, channel_no, user_id) items", ct);
        var strangers = await ScalarAsync(db, """
            SELECT count(*) FROM feed_items f WHERE NOT EXISTS (
              SELECT 1 FROM recipients r JOIN batches b ON b.id = r.batch_id WHERE r.batch_id = f.source_id AND r.user_id = f.user_id AND b.state = 5)
            """, ct);
        report.Open = await ScalarAsync(db, "SELECT count(*) FROM chunks WHERE state <> 4 OR lease_token IS NOT NULL", ct);
        foreach (var subject in driver.Subjects) await LookAsync(driver, db, subject, ct);

        Must(report.Duplicates == 0, $"{report.Duplicates} feed items are there twice");
        Must(strangers == 0, $"{strangers} feed items belong to nobody, or to a campaign that was not sent");
        Must(report.Losses == 0, $"{report.Losses} messages are lost");
        Must(report.Open == 0, $"{report.Open} chunks are not closed");
        Must(report.Unbalanced == 0, $"{report.Unbalanced} messages are out of balance");
        Must(driver.Subjects.Length == report.Plan.Campaigns, $"{driver.Subjects.Length} campaigns were sent, not {report.Plan.Campaigns}");
        report.Duplicates += strangers;
    }

    /// <summary>One campaign: its status, its totals, its list of recipients and the feeds say the same.</summary>
    private async Task LookAsync(Driver driver, NpgsqlDataSource db, Subject subject, CancellationToken ct)
    {
        var campaign = (await driver.InsistAsync(a => a.GetAsync($"/api/campaigns/{subject.Id}"), ct, HttpStatusCode.OK)).Data;
        var (status, totals) = (campaign.GetProperty("status").GetString()!, campaign.GetProperty("totals"));
        report.Ended[status] = report.Ended.GetValueOrDefault(status) + 1;
        report.Recipients += subject.Recipients;
        Must(subject.MayEndAs(status), $"{subject.Id} ended as {status}, not {subject.Outcome} (stopped: {subject.IsStopped?.ToString() ?? "perhaps"})");
        Must(totals.GetProperty("messages").GetInt64() == subject.Recipients * subject.Channels, $"{subject.Id} has {totals.GetProperty("messages")} messages");
        if (subject.ScheduledAt is { } at && campaign.GetProperty("startedAt") is { ValueKind: JsonValueKind.String } started)
        {
            // It is told to the millisecond.
            Must(started.GetDateTimeOffset() > at.AddMilliseconds(-1), $"{subject.Id} started at {started}, before its time {at:O}");
        }

        var counted = new Dictionary<string, long> { ["pending"] = 0, ["delivered"] = 0, ["failed"] = 0, ["skipped"] = 0, ["uncertain"] = 0 };
        var delivered = new HashSet<(string, string)>();
        for (string? cursor = null; ;)
        {
            var path = $"/api/campaigns/{subject.Id}/recipients?limit=1000{(cursor is null ? "" : $"&cursor={cursor}")}";
            var page = (await driver.InsistAsync(a => a.GetAsync(path), ct, HttpStatusCode.OK)).Json;
            foreach (var person in page.GetProperty("data").EnumerateArray())
            {
                foreach (var message in person.GetProperty("channels").EnumerateArray())
                {
                    var said = message.GetProperty("status").GetString()!;
                    counted[said]++;
                    if (said == "delivered") delivered.Add((person.GetProperty("userId").GetString()!, message.GetProperty("channelId").GetString()!));
                }
            }
            cursor = page.GetProperty("meta").GetProperty("next").GetString();
            if (cursor is null) break;
        }
        var feed = await FeedAsync(db, subject.Id, ct);
        var lost = delivered.Count(message => !feed.Contains(message));
        var missing = status == "stopped" ? 0 : (subject.Recipients - subject.Missing) * subject.Channels - delivered.Count;
        report.Losses += lost + Math.Max(0, missing);
        report.Unbalanced += feed.Count(message => !delivered.Contains(message)) + counted.Sum(c => Math.Abs(c.Value - totals.GetProperty(c.Key).GetInt64()));
        Must(lost == 0 && missing == 0, $"{subject.Id} ({status}) misses {lost} feed items of those delivered, and {missing} messages were not delivered; its totals are {totals}");
    }

    private static async Task<HashSet<(string User, string Channel)>> FeedAsync(NpgsqlDataSource db, string campaignId, CancellationToken ct)
    {
        await using var command = db.CreateCommand("""
            SELECT f.user_id, c.channel_id FROM feed_items f JOIN channels c ON c.no = f.channel_no WHERE f.source_id = (SELECT batch_id FROM campaigns WHERE id = $1)
            """);
        command.Parameters.Add(new() { Value = campaignId });
        var found = new HashSet<(string, string)>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add((reader.GetString(0), reader.GetString(1)));
        return found;
    }

    private void Must(bool holds, string violation)
    {
        if (!holds) report.Violations.Add(violation);
    }

    private static async Task<long> ScalarAsync(NpgsqlDataSource db, string sql, CancellationToken ct)
    {
        await using var command = db.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }
}
