using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace CampaignService.Benchmarks;

/// <summary>The figures as a table for the terminal and as the page docs/benchmarks.md.</summary>
internal static class Report
{
    public static string Table(IReadOnlyList<Figure> figures)
    {
        var text = new StringBuilder();
        var width = figures.Max(f => f.Name.Length);
        foreach (var f in figures)
        {
            text.AppendLine(CultureInfo.InvariantCulture,
                $"{f.Name.PadRight(width)}  {f.Shown(f.Value),8}  goal {(f.Goal is { } g ? f.Bound(g) : "-"),-8} floor {f.Bound(f.Floor),-8}  {f.Verdict}");
            text.AppendLine(CultureInfo.InvariantCulture, $"    {f.Raw}");
        }
        return text.ToString();
    }

    public static async Task WriteAsync(Bench bench, Machine machine, IReadOnlyList<Figure> figures, CancellationToken ct)
    {
        var rows = string.Join('\n', figures.Select(f =>
            $"| {f.Name} | **{f.Shown(f.Value)}** | {(f.Goal is { } g ? f.Bound(g) : "–")} | {f.Bound(f.Floor)} | {f.Verdict} | {f.Raw} |"));
        var page = $"""
            # Benchmarks

            Written by `scripts/bench --write`; to repeat: `scripts/bench`. A run that misses a floor ends with exit code 1. Absolute numbers
            belong to the machine; the ratios are what counts, because product and reference run **in the same run, on the same PostgreSQL,
            in turn**, repetition by repetition, and each ratio is the median of five ratios. Figures in seconds or
            milliseconds without a reference are limits, not comparisons.

            - {machine.Date}; {machine.Text}; PostgreSQL {bench.PostgresVersion}, .NET {Environment.Version}; load average at the start {machine.Load}; {machine.Stolen} of the time of the cores was taken by others on the host meanwhile.
            - Client, service and database share these cores. The database is the one that the service embeds, with its settings: durable,
              everything that is committed is synced.

            | figure | result | goal | floor | | raw numbers: median (each repetition) |
            |---|---|---|---|---|---|
            {rows}

            ## How it is measured

            The service is a process of its own from the Release build, driven over HTTP. It is warmed up by five unmeasured campaigns, and each
            figure by one unmeasured repetition of both sides. A `CHECKPOINT` precedes every timed run on both sides; tables are emptied between
            repetitions, outside the timed part. After each sending everything is counted: a feed row for each recipient, and no user twice.
            What was uploaded or copied is counted, too, before it is sent: outside the timed part, but it leaves both sides' rows in memory.

            - **Upload**: from before the first byte until the answer, which comes after the commit. The file has about 40 bytes a row: a user id
              and three variables, the ids in random order.
            - **Sending**: from before `POST …/send` until the batch has ended in the database, planning included.
            - **Whole**: upload and sending, one after the other, without a `CHECKPOINT` between.
            - **Memory**: `VmRSS` of the service, looked at every 50 ms.
            - **Scheduled starts**: campaigns to 5 people each, from the time scheduled to the commit of the first delivery, by the database's clock.
            - **Pause**: what was delivered last, by the database's clock, against the moment after the answer; feed rows are counted two seconds later.
            - **A small one behind large ones**: from before its `POST …/send` until its batch has ended.
            - **Direct sends**: 32 loops, each sending one after the other to one user with three values, over HTTP, for five seconds; all are counted
              in the feed. The client costs next to nothing, as pgbench does: it writes the same bytes again with another user's number. Before the first repetition
              the service is warmed up until it gets no faster. The reference looks the template's content up and inserts one row into the same table as below, prepared, each in a commit of its own.
            - **A direct send under load**: 200 a second for four seconds; a time counts from when the send was due.
            - **Webhook messages**: from before `POST …/send` until the batch has ended in the database, which is looked at every ten milliseconds. The reference makes the same number of calls with
              bodies of the same size, as many at once, to the same server, which is part of the process that measures. Before the first repetition both run in turn until the service takes no less processor time.
            - **Reading among many**: 100 items a user, half of them read, made by SQL; the median over HTTP of 500 users at random, each a page of 20 and a count, after 500 others.
            - **Two workers**: processes with the role worker and `Workers__Loops=1`; a third process answers HTTP. Both have
              delivered five campaigns together before; the second is frozen (`SIGSTOP`) while the first is measured alone. All share the cores with the database.
            - **Claims**: the statement and its commit, by four clients at once on the cores of the database; the time is wall time by claims of one client.
            - **Ready**: from the start of the process to the first 200 of `/health/ready`, the embedded database included.

            ## The references

            `psql \copy` of the same file, as the time that psql reports (`\timing`), so without its start and login. The ratio uses this table,
            which is the faster of two:

            ```sql
            {References.ThreeColumns}
            ```

            Beside it, in the raw numbers, the same values as one array, as the product stores them, from a file that has them so:

            ```sql
            {References.OneArray}
            ```

            Sending is measured against one statement, and so one transaction. It writes the same rows into a table with the columns, the key and
            the partitions of the product's feed, and the status of each recipient:

            ```sql
            {References.WithStatus};

            {References.SendStatement}
            ```

            The ratio uses recipients that lie in order of their ids, as the product's do; beside it stand those in the order of the file.
            *Whole* takes them as `\copy` left them, in the order of the file.

            """;
        await File.WriteAllTextAsync(Path.Combine(Bench.Root, "docs/benchmarks.md"), page, ct);
    }
}

/// <summary>Where and when the run took place.</summary>
internal sealed record Machine(string Date, string Text, string Load)
{
    private readonly (double Stolen, double All) _start = CoreTime();

    /// <summary>How much of the cores' time since the start a hypervisor gave to others.</summary>
    public string Stolen
    {
        get
        {
            var (stolen, all) = CoreTime();
            return ((stolen - _start.Stolen) / Math.Max(1, all - _start.All)).ToString("0.0%", CultureInfo.InvariantCulture);
        }
    }

    public static Machine Current()
    {
        var cpu = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[1] ?? "unknown processor";
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 30;
        return new Machine(TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            $"{Environment.ProcessorCount} cores ({cpu}), {memory} GiB, {RuntimeInformation.OSDescription}",
            string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ')[..3]));
    }

    private static (double Stolen, double All) CoreTime()
    {
        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..9].Select(n => double.Parse(n, CultureInfo.InvariantCulture)).ToArray();
        return (ticks[7], ticks.Sum());
    }
}
