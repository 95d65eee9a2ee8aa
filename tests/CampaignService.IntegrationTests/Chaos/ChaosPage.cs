using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The reports of a run as a table, and as the last section of docs/reliability.md.</summary>
internal static class ChaosPage
{
    private static readonly (string Head, Func<IReadOnlyList<ChaosReport>, long> Sum)[] Columns =
    [
        ("rounds", r => r.Count),
        ("kills", r => r.Sum(x => x.Kills)),
        ("freezes", r => r.Sum(x => x.Freezes)),
        ("server crashes", r => r.Sum(x => x.ServerCrashes)),
        ("connections cut", r => r.Sum(x => x.ConnectionsCut)),
        ("verbs", r => r.Sum(x => x.Verbs)),
        ("campaigns", r => r.Sum(x => x.Ended.Values.Sum())),
        ("of them stopped", r => r.Sum(x => x.Ended.GetValueOrDefault("stopped"))),
        ("recipients", r => r.Sum(x => x.Recipients)),
        ("feed items", r => r.Sum(x => x.FeedItems)),
        ("of them during the faults", r => r.Sum(x => x.UnderFire)),
        ("chunks taken over", r => r.Sum(x => x.Rescued)),
        ("set aside, then retried", r => r.Sum(x => x.SetAside)),
        ("duplicates", r => r.Sum(x => x.Duplicates)),
        ("losses", r => r.Sum(x => x.Losses)),
        ("chunks left open", r => r.Sum(x => x.Open)),
        ("out of balance", r => r.Sum(x => x.Unbalanced)),
        ("other violations", r => r.Sum(x => x.Violations.Count)),
    ];

    /// <summary>A column for each kind of round, and one for all.</summary>
    public static string Table(IReadOnlyList<ChaosReport> reports)
    {
        var kinds = reports.GroupBy(r => r.Plan.Faults).Select(g => (Name: NameOf(g.Key), Reports: (IReadOnlyList<ChaosReport>)[.. g])).Append((Name: "**all**", Reports: reports)).ToList();
        var text = new StringBuilder($"| | {string.Join(" | ", kinds.Select(k => k.Name))} |\n|---|{string.Concat(kinds.Select(_ => "---:|"))}\n");
        foreach (var (head, sum) in Columns) text.AppendLine(CultureInfo.InvariantCulture, $"| {head} | {string.Join(" | ", kinds.Select(k => sum(k.Reports).ToString("N0", CultureInfo.InvariantCulture)))} |");
        return text.ToString();
    }

    /// <summary>Rewrites what follows the heading of the last section; the rest of the page is written by hand. The working folder is the repository's.</summary>
    public static async Task WriteAsync(IReadOnlyList<ChaosReport> reports, ExternalReport external, string command)
    {
        const string page = "docs/reliability.md", heading = "## The last run";
        var text = await File.ReadAllTextAsync(page);
        var machine = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[1] ?? "unknown processor";
        await File.WriteAllTextAsync(page, $"""
            {text[..text.IndexOf(heading, StringComparison.Ordinal)]}{heading}

            {TimeProvider.System.GetUtcNow():yyyy-MM-dd}, {reports.Sum(r => r.Took.TotalMinutes).ToString("0", CultureInfo.InvariantCulture)} minutes of rounds; {Environment.ProcessorCount} cores ({machine}), {RuntimeInformation.OSDescription},
            .NET {Environment.Version}: `{command}`

            {Table(reports)}
            {external.Table}

            """);
    }

    private static string NameOf(Faults faults) => faults switch
    {
        Faults.Kills => "kills",
        Faults.ServerCrashes => "server crashes",
        Faults.Cuts => "cuts",
        Faults.Freezes => "freezes",
        _ => "all together",
    };
}
