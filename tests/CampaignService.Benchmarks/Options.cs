namespace CampaignService.Benchmarks;

/// <summary>What was asked for on the command line.</summary>
/// <param name="Reps">Measured repetitions of each figure; the median counts.</param>
/// <param name="Quick">Leave the long groups out.</param>
/// <param name="Write">Rewrite docs/benchmarks.md.</param>
/// <param name="Filter">Only the groups with this in their name.</param>
internal sealed record Options(int Reps, bool Quick, bool Write, string Filter)
{
    public const string Usage = """
        usage: scripts/bench [--quick] [--write] [upload | sending | whole | million | schedule | pause | fairness | realtime | direct | external | feed | workers | claim | start]
          --quick   2 repetitions instead of 5, and without the long ones
          --write   rewrite docs/benchmarks.md; takes the whole run
          a name    only the figures of the groups with that in their name
        """;

    public static Options? Parse(string[] args)
    {
        var quick = args.Contains("--quick");
        var write = args.Contains("--write");
        string[] names = [.. args.Where(a => a is not ("--quick" or "--write"))];
        var filter = names.Length == 1 ? names[0] : "";
        var unknown = names.Length > 1 || filter.StartsWith('-') || !Groups.All.Any(g => g.Name.Contains(filter, StringComparison.Ordinal));
        // A page with half the figures, or from two repetitions, would pass for the whole.
        return unknown || (write && (quick || filter.Length > 0)) ? null : new Options(quick ? 2 : 5, quick, write, filter);
    }
}
