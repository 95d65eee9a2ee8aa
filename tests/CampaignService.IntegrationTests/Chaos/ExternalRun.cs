using System.Diagnostics;
using CampaignService.IntegrationTests.External;
using CampaignService.IntegrationTests.Support;
using Npgsql;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>What came of a campaign to a server of others whose workers were killed all the time.</summary>
/// <param name="Kills">Of a random worker, one each second.</param>
/// <param name="Recipients">Whom it was to reach.</param>
/// <param name="Calls">What the server got; it answered each with 200.</param>
/// <param name="Duplicates">Calls beyond the one for each person.</param>
/// <param name="OfOtherId">Of them those with another message id than the first.</param>
/// <param name="Unlisted">Of them those whose person was not noted as uncertain before.</param>
/// <param name="Lost">People whom nothing reached.</param>
/// <param name="Unbalanced">People of whom the ledger says something else than the server.</param>
internal sealed record ExternalReport(int Kills, int Recipients, int Calls, int Duplicates, int OfOtherId, int Unlisted, int Lost, int Unbalanced)
{
    public bool Holds => OfOtherId + Unlisted + Lost + Unbalanced == 0;

    public string Table => FormattableString.Invariant($"""
        | messages to a server | workers killed |
        |---|---:|
        | kills, one a second | {Kills:N0} |
        | recipients | {Recipients:N0} |
        | sent | {Calls:N0} |
        | duplicates | {Duplicates:N0} |
        | of them with another message id | {OfOtherId:N0} |
        | of them not listed as uncertain before | {Unlisted:N0} |
        | lost | {Lost:N0} |
        | out of balance | {Unbalanced:N0} |
        """);
}

/// <summary>One large campaign to a real server, while a random one of two workers is killed each second until all is sent.</summary>
internal sealed class ExternalRun(string connectionString, int seed)
{
    private const int Recipients = 50_000;

    /// <summary>So that it takes more than half a minute.</summary>
    private const int PerSecond = 1_500;

    private static readonly TimeSpan BetweenKills = TimeSpan.FromSeconds(1), Patience = TimeSpan.FromMinutes(10);

    /// <summary>In seconds; beyond it, kills would meet workers that wait for the leases of the killed.</summary>
    private const int Storm = 60;

    public async Task<ExternalReport> RunAsync(CancellationToken ct)
    {
        var (log, random) = (new ChaosReport(new ChaosPlan(seed, Faults.Kills)), new Random(seed));
        await using var sink = await Sink.StartAsync();
        await using var api = Open("api");
        await using var first = Open("worker");
        await using var second = Open("worker");
        var caller = await api.ApiAsync(ct);
        var (template, _) = await caller.NewWebhookAsync(sink.Url, new { ratePerSecond = PerSecond, timeoutSeconds = 1 });
        var id = await caller.SendToAsync(template, Recipients);
        var watch = Stopwatch.StartNew();
        for (var isSending = true; isSending && watch.Elapsed.TotalSeconds < Storm; isSending = await caller.StatusAsync(id) == "sending")
        {
            await Wait.ForAsync(BetweenKills, ct);
            (random.Next(2) == 0 ? first : second).Kill();
        }
        await Wait.UntilAsync(async () => await caller.StatusAsync(id) is not ("sending" or "paused"), Patience, ct);
        return await LookAsync(await caller.CountsAsync(id), sink, log.Kills, ct);

        Slot Open(string roles)
        {
            var slot = new Slot(connectionString, roles, log, ("Channels__AllowPrivateNetworks", "true"), ("Channels__FirstRetry", "00:00:00.100"));
            slot.Open();
            return slot;
        }
    }

    private async Task<ExternalReport> LookAsync(Dictionary<string, int> ledger, Sink sink, int kills, CancellationToken ct)
    {
        var got = sink.Calls.GroupBy(c => c.Users.Single()).ToDictionary(g => g.Key, g => (Calls: g.Count(), Ids: g.Select(c => c.Key).Distinct().Count()));
        string[] twice = [.. got.Where(g => g.Value.Calls > 1).Select(g => g.Key)];
        await using var db = NpgsqlDataSource.Create(connectionString);
        await using var listed = db.CreateCommand("SELECT count(*)::int FROM recipient_exceptions WHERE user_id = ANY ($1) AND attempts > 1");
        listed.Parameters.Add(new() { Value = twice });
        return new ExternalReport(kills, Recipients, sink.Calls.Count, sink.Calls.Count - got.Count, got.Values.Count(g => g.Ids > 1),
            twice.Length - (int)(await listed.ExecuteScalarAsync(ct))!, Recipients - got.Count, Math.Abs(ledger["delivered"] - got.Count));
    }
}
