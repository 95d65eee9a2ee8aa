namespace CampaignService.IntegrationTests.Chaos;

/// <summary>
/// What is done to the service while it works. Beside it campaigns are sent, paused, resumed and stopped at random all the time, and each
/// chunk is slow to close, so that most faults meet some in the middle.
/// </summary>
[Flags]
internal enum Faults
{
    None = 0,

    /// <summary>kill -9 of a random process, every 0.2 to 2 s; it is started again at once.</summary>
    Kills = 1,

    /// <summary>kill -9 of PostgreSQL and all its processes, every 3 to 8 s; it is started again on the same port and data.</summary>
    ServerCrashes = 2,

    /// <summary>pg_terminate_backend of a random third of all connections, every 0.1 to 0.5 s.</summary>
    Cuts = 4,

    /// <summary>kill -STOP of a random process, every 2 to 6 s, for up to 20 s: longer than a lease. It then goes on as if nothing had been.</summary>
    Freezes = 8,

    All = Kills | ServerCrashes | Cuts | Freezes,
}

/// <summary>How a run is made. The seed decides what is done and when; what that meets is up to the machine.</summary>
internal sealed record ChaosPlan(int Seed, Faults Faults)
{
    /// <summary>By role, one process each: two workers, a scheduler and an API; or one that is all.</summary>
    public string[] Processes { get; init; } = ["worker", "worker", "scheduler", "api"];

    public int Campaigns { get; init; } = 20;

    /// <summary>Of each campaign; every second one goes to two channels, so to twice as many messages.</summary>
    public int Recipients { get; init; } = 20_000;

    /// <summary>How long the faults last. Campaigns start all through it; then there is calm until all have ended.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(40);
}

/// <summary>What a run did and what was found after it.</summary>
internal sealed record ChaosReport(ChaosPlan Plan)
{
    public int Kills { get; set; }

    public int Freezes { get; set; }

    public int ServerCrashes { get; set; }

    public int ConnectionsCut { get; set; }

    /// <summary>Verbs that the service took.</summary>
    public int Verbs { get; set; }

    /// <summary>Campaigns by the status in which they ended.</summary>
    public SortedDictionary<string, int> Ended { get; } = new(StringComparer.Ordinal);

    public long Recipients { get; set; }

    public long FeedItems { get; set; }

    /// <summary>Of them those that were there when the faults ended.</summary>
    public long UnderFire { get; set; }

    /// <summary>Feed items beyond the one that a recipient has on a channel, and those of nobody.</summary>
    public long Duplicates { get; set; }

    /// <summary>Messages that should be in a feed, or that the ledger says are, and are not.</summary>
    public long Losses { get; set; }

    /// <summary>Chunks that were not closed in the end.</summary>
    public long Open { get; set; }

    /// <summary>Messages of which the list, the totals and the feeds say different things.</summary>
    public long Unbalanced { get; set; }

    /// <summary>Chunks taken over from a worker that died.</summary>
    public int Rescued { get; set; }

    /// <summary>Chunks that were set aside as <c>worker_died</c> and then served by a retry.</summary>
    public long SetAside { get; set; }

    /// <summary>Everything that must not be; empty when all is well.</summary>
    public List<string> Violations { get; } = [];

    /// <summary>What was logged as an error, each once: not a violation, but worth a look.</summary>
    public SortedSet<string> Errors { get; } = new(StringComparer.Ordinal);

    public TimeSpan Took { get; set; }

    /// <summary>From the last fault until all campaigns had ended.</summary>
    public TimeSpan Recovery { get; set; }

    /// <summary>What each process wrote, in the order in which they ended.</summary>
    public List<string[]> Logs { get; } = [];

    /// <summary>Writes the logs of a run in which something was found.</summary>
    /// <returns>The file.</returns>
    public string SaveLogs()
    {
        var file = Path.Combine(Path.GetTempPath(), $"campaigns-chaos-{Plan.Seed}.log");
        File.WriteAllLines(file, Logs.SelectMany((log, i) => log.Prepend($"--- process {i}")).Prepend(ToString()));
        return file;
    }

    public override string ToString() =>
        $"{Plan.Faults} seed {Plan.Seed}: {Took.TotalSeconds:0} s, {Recovery.TotalSeconds:0} s of them to recover, {Kills} kills, {Freezes} freezes, {ServerCrashes} crashes, {ConnectionsCut} cuts, {Verbs} verbs; "
        + $"{string.Join(", ", Ended.Select(e => $"{e.Value} {e.Key}"))}; {FeedItems} items, {UnderFire} of them under fire, {Rescued} chunks rescued, {SetAside} set aside; "
        + $"{Duplicates} duplicates, {Losses} losses, {Open} open, {Unbalanced} unbalanced{string.Concat(Violations.Select(v => "\n  VIOLATION " + v))}";
}
