using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>The reports of a run as a table, and as the last sections of docs/reliability.md.</summary>
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

    public static Task WriteAsync(IReadOnlyList<ChaosReport> reports, string command) => WriteAsync("## The last run", $"""
        {TimeProvider.System.GetUtcNow():yyyy-MM-dd}, {reports.Sum(r => r.Took.TotalMinutes).ToString("0", CultureInfo.InvariantCulture)} minutes of rounds; {Machine()}: `{command}`

        {Table(reports)}
        """);

    public static Task WriteAsync(ExternalReport report, string command) => WriteAsync("## The last run with a server of others", $"""
        {TimeProvider.System.GetUtcNow():yyyy-MM-dd}; {Machine()}: `{command}`. The server answers 200 to everything; one of two workers, at random, is
        killed with `kill -9` each second while a campaign is sent to it.

        {report.Table}

        """);

    /// <summary>Rewrites the section with this heading, or adds it; the rest of the page is written by hand. The working folder is the repository's.</summary>
    private static async Task WriteAsync(string heading, string section)
    {
        const string page = "docs/reliability.md";
        var text = await File.ReadAllTextAsync(page);
        var start = text.IndexOf($"{heading}\n", StringComparison.Ordinal);
        var (before, after) = start < 0 ? (text.TrimEnd() + "\n\n", "") : (text[..start], text.IndexOf("\n## ", start, StringComparison.Ordinal) is >= 0 and var end ? text[end..] : "");
        await File.WriteAllTextAsync(page, $"{before}{heading}\n\n{section}{after}");
    }

    private static string Machine()
    {
        var processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[1] ?? "unknown processor";
        return $"{Environment.ProcessorCount} cores ({processor}), {RuntimeInformation.OSDescription},\n.NET {Environment.Version}";
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
