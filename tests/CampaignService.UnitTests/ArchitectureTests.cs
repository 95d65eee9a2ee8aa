using System.Text.RegularExpressions;
using CampaignService.UnitTests.Support;

namespace CampaignService.UnitTests;

/// <summary>
/// The shape of the code, read from its text. Each rule is a function from sources to what breaks it, and is also run over a small bad source,
/// so that a rule that has stopped looking is found out.
/// </summary>
public sealed partial class ArchitectureTests
{
    private const int MaxFileLines = 400, MaxMethodLines = 60;

    /// <summary>From left to right; a module uses only those to its left. Those of one step do not use each other.</summary>
    private static readonly string[][] Steps =
    [
        ["Common", "Data", "Tenancy", "Idempotency", "Scheduling"],
        ["Channels"],
        ["Users", "Templates"],
        ["Webhooks"],
        ["Segments", "Feed"],
        ["Channels.*"],
        ["Delivery"],
        ["Campaigns", "Notifications"],
        ["Analytics"],
    ];

    private static readonly string[] Everybodys = ["Common", "Data", "Tenancy", "Idempotency", "Scheduling"], Nobodys = ["Hosting", "Dashboard"];

    /// <summary>Where SQL is written by hand: on the hot path, and where EF Core has no words for it.</summary>
    private static readonly string[] RawSql =
    [
        .. In("Analytics", "StatsReader", "StatsRollup", "UserStatsReader"),
        .. In("Campaigns", "CampaignLookup", "DueCampaigns"),
        .. In("Data", "DatabaseClock", "DatabaseHealth", "DbMigrator", "Notices", "SharedSecrets"),
        .. In("Delivery", "BatchFinisher", "BatchTotals", "ChunkControl", "ChunkPlanner", "ChunkProcessor", "ChunkQueue", "DeliveryPulse", "ErasedRecipient", "ExclusionCounts", "LeaseRescuer"),
        .. In("Delivery", "BatchHold", "GoneAddresses", "External/Circuits", "External/ExternalChunks", "External/ExternalWorker", "External/RateSlots"),
        .. In("Delivery", "RecipientImport", "RecipientLedger", "RecipientRecords", "ResultWriter", "StuckWork"),
        .. In("Feed", "FeedCopy", "FeedMarks", "FeedPartitions", "FeedReader", "FeedReceipts", "FeedRecords"),
        .. In("Hosting", "EmbeddedPostgres"),
        .. In("Idempotency", "IdempotencyFence", "IdempotencyKeys"),
        .. In("Notifications", "NotificationControl", "NotificationRecords", "NotificationStore"),
        .. In("Users", "UserPresence", "UserTokens", "UserUpsert"),
        .. In("Webhooks", "EventLog", "EventReader", "EventRecords", "EventRetention", "EventSequencer", "WebhookAttempts", "WebhookQueue", "WebhookSwitch"),
    ];

    private static readonly Dictionary<string, string> MayCount = new()
    {
        ["src/CampaignService/Delivery/BatchTotals.cs"] = "exceptions by reason: only those that were not simply delivered",
        ["src/CampaignService/Delivery/ChunkControl.cs"] = "exceptions that a stop has just changed, by chunk",
        ["src/CampaignService/Delivery/ErasedRecipient.cs"] = "the place of one person in a chunk of a few hundred that has results by place",
        ["src/CampaignService/Delivery/ChunkPlanner.cs"] = "the size of each chunk, once, while it reads the rows anyway",
        ["src/CampaignService/Templates/CategoryAuthor.cs"] = "the templates of a category, when a refusal names how many",
        ["src/CampaignService/Feed/FeedReader.cs"] = "what is unread above the watermark of one user",
    };

    private static readonly Dictionary<string, string> MayNameQuartz = new()
    {
        ["src/CampaignService/Scheduling/QuartzScheduling.cs"] = "all that knows it",
        ["src/CampaignService/Hosting/Observability.cs"] = "how much it logs",
    };

    private static readonly Dictionary<string, string> MayHaveOneImplementation = new()
    {
        ["IChannel"] = "one for each type of provider; mail and push come beside the webhook",
        ["ICampaignSchedule"] = "one library kept to one file",
    };

    [Fact]
    public void A_module_uses_only_those_to_its_left()
    {
        AssertHolds(WrongEdges(SourceText.Service()));
        AssertBreaks(WrongEdges([File("Delivery/Batch.cs", "using CampaignService.Campaigns;\nnamespace CampaignService.Delivery;")]), "Delivery uses Campaigns");
        AssertBreaks(WrongEdges([File("Feed/Item.cs", "namespace CampaignService.Feed;\nclass Item { CampaignService.Segments.Segment S; }")]), "Feed uses Segments");
        AssertBreaks(WrongEdges([File("Common/Text.cs", "using CampaignService.Tenancy;\nnamespace CampaignService.Common;")]), "Common uses Tenancy");
        AssertBreaks(WrongEdges([File("Campaigns/Campaign.cs", "using CampaignService.Hosting;\nnamespace CampaignService.Campaigns;")]), "Campaigns uses Hosting");
        AssertBreaks(WrongEdges([File("Channels/Push/Push.cs", "using CampaignService.Channels.InApp;\nnamespace CampaignService.Channels.Push;")]), "Channels.Push uses Channels.InApp");
        AssertBreaks(WrongEdges([File("Templates/Template.cs", "using static CampaignService.Channels.InApp.InAppMessages;\nnamespace CampaignService.Templates;")]), "Templates uses Channels.InApp");
        AssertBreaks(WrongEdges([File("Feed/Item.cs", "namespace CampaignService.Feed;\nclass Item { Delivery.Batch B; }"), File("Delivery/Batch.cs", "namespace CampaignService.Delivery;\nclass Batch;")]), "Feed uses Delivery");
        AssertBreaks(WrongEdges([File("Feed/Item.cs", "namespace CampaignService.Delivery;")]), "stands in the folder Feed");
        AssertHolds(WrongEdges([File("Channels/Push/Push.cs", "using CampaignService.Channels;\nusing CampaignService.Feed;\n// CampaignService.Delivery\nnamespace CampaignService.Channels.Push;")]));
    }

    [Fact]
    public void SQL_by_hand_stands_only_in_the_files_listed()
    {
        AssertHolds(RawSqlElsewhere(SourceText.Service()));
        AssertBreaks(RawSqlElsewhere([File("Campaigns/CampaignsController.cs", "db.Database.ExecuteSqlAsync($\"DELETE FROM campaigns\");")]), "CampaignsController.cs");
        AssertBreaks(RawSqlElsewhere([File("Delivery/ChunkQueue.cs", "// NpgsqlCommand")]), "holds none");
    }

    [Fact]
    public void No_file_is_longer_than_400_lines_and_no_method_than_60()
    {
        AssertHolds(TooLong(SourceText.Service()));
        AssertBreaks(TooLong([File("Common/Long.cs", Repeat("// a line\n", 401))]), "401 lines");
        AssertBreaks(TooLong([File("Common/Long.cs", $"class Long\n{{\n    void M()\n    {{\n{Repeat("        Call();\n", 59)}    }}\n}}\n")]), "62 lines");
        AssertBreaks(TooLong([File("Common/Long.cs", $"class Long\n{{\n    int M(int i) => i switch\n    {{\n{Repeat("        1 => 2,\n", 60)}    }};\n}}\n")]), "63 lines");
        AssertHolds(TooLong([File("Common/Long.cs", $"class Long\n{{\n{Repeat("    void M()\n    {\n        Call(\"{\");\n    }\n\n", 70)}}}\n")]));
    }

    [Fact]
    public void An_interface_has_two_implementations_or_a_reason()
    {
        AssertHolds(LonelyInterfaces(SourceText.Service()));
        AssertBreaks(LonelyInterfaces([File("Common/IClock.cs", "interface IClock;\nclass Clock(int a) : object, IClock { }")]), "IClock");
        AssertHolds(LonelyInterfaces([File("Common/IClock.cs", "interface IClock;\nclass A : IClock { }\nrecord B(int C) : IClock;")]));
        AssertBreaks(LonelyInterfaces([File("Common/IClock.cs", "interface IClock;\nclass A : IClock { }\nclass B(IClock inner) : C { }")]), "IClock");
    }

    [Fact]
    public void Times_are_stored_with_their_zone()
    {
        AssertHolds(TimesWithoutZone(SourceText.All("src", "*.cs").Where(f => f.Path.Contains("/Data/", StringComparison.Ordinal))));
        AssertBreaks(TimesWithoutZone([File("Data/Migrations/Bad.cs", "table.Column<DateTime>(type: \"timestamp without time zone\")")]), "Bad.cs");
        AssertBreaks(TimesWithoutZone([File("Data/Migrations/Bad.cs", "\"at timestamp NOT NULL\"")]), "Bad.cs");
        AssertHolds(TimesWithoutZone([File("Data/Migrations/Good.cs", "\"a timestamptz, b timestamp with time zone\"")]));
    }

    [Fact]
    public void Only_the_database_says_what_time_it_is()
    {
        AssertHolds(OtherClocks(SourceText.All("src", "*.cs")));
        AssertBreaks(OtherClocks([File("Campaigns/A.cs", "var now = TimeProvider.System.GetUtcNow();")]), "TimeProvider.System");
        AssertBreaks(OtherClocks([File("Campaigns/A.cs", "var now = DateTimeOffset.UtcNow;")]), "UtcNow");
        // It stands still while a transaction waits, and is not the clock that everything else goes by.
        AssertBreaks(OtherClocks([File("Delivery/A.cs", "new NpgsqlCommand(\"UPDATE chunks SET lease_until = now()\")")]), "now()");
        AssertBreaks(OtherClocks([File("Data/Migrations/A.cs", "\"at timestamptz DEFAULT CURRENT_TIMESTAMP\"")]), "CURRENT_TIMESTAMP");
    }

    [Fact]
    public void Lists_neither_skip_rows_nor_count_them()
    {
        AssertHolds(SkippedOrCounted(SourceText.Service()));
        AssertBreaks(SkippedOrCounted([File("Delivery/RecipientLedger.cs", "NpgsqlCommand c = new(\"SELECT 1 FROM recipients LIMIT 20 OFFSET 40\");")]), "OFFSET");
        AssertBreaks(SkippedOrCounted([File("Delivery/RecipientLedger.cs", "NpgsqlCommand c = new(\"SELECT count( * ) FROM recipients\");")]), "count");
        AssertBreaks(SkippedOrCounted([File("Campaigns/CampaignsController.cs", "await rows.CountAsync(ct)")]), "CountAsync");
    }

    [Fact]
    public void The_SQL_of_delivery_names_no_table_of_those_whose_batches_it_delivers()
    {
        AssertHolds(OwnersInDelivery(SourceText.Service()));
        AssertBreaks(OwnersInDelivery([File("Delivery/External/A.cs", "var sql = $\"SELECT 1 FROM campaigns o WHERE o.batch_id = $1\";")]), "campaigns");
        AssertBreaks(OwnersInDelivery([File("Delivery/A.cs", "new NpgsqlCommand(\"SELECT 1 FROM batches JOIN notifications n ON n.batch_id = id\")")]), "notifications");
        AssertHolds(OwnersInDelivery([File("Delivery/A.cs", "// as campaigns do\nsettings.ApplicationName = \"campaigns-worker\";"), File("Campaigns/A.cs", "\"SELECT 1 FROM campaigns\"")]));
    }

    [Fact]
    public void Types_are_named_by_what_they_do()
    {
        AssertHolds(EmptyNames(SourceText.Service()));
        AssertBreaks(EmptyNames([File("Campaigns/A.cs", "public sealed class CampaignManager(int a);")]), "CampaignManager");
        AssertBreaks(EmptyNames([File("Campaigns/A.cs", "internal readonly record struct UploadHelper(int A);")]), "UploadHelper");
    }

    [Fact]
    public void Quartz_is_named_in_one_file_only()
    {
        AssertHolds(QuartzElsewhere(SourceText.Service()));
        AssertBreaks(QuartzElsewhere([File("Campaigns/Campaign.cs", "using Quartz;")]), "Campaign.cs");
        AssertBreaks(QuartzElsewhere([File("Campaigns/Campaign.cs", "global::Quartz.IScheduler s;")]), "Campaign.cs");
        AssertHolds(QuartzElsewhere([File("Campaigns/Campaign.cs", "// Quartz tells of it\nQuartzScheduling.AddCampaignSchedule();")]));
    }

    [Fact]
    public void The_repository_names_nothing_outside_itself()
    {
        AssertHolds(NamesOutside(SourceText.All()));
        AssertBreaks(NamesOutside([new SourceText("docs/a.md", "see .." + "/shared/design")]), "docs/a.md:1");
        AssertBreaks(NamesOutside([new SourceText("scripts/run", "#!/bin/sh\ncd /" + "work/main")]), "scripts/run:2");
        AssertBreaks(NamesOutside([new SourceText("scripts/run", "cd /" + "root/x; cd /home/" + "ann/x")]), "scripts/run:1");
    }

    private static IEnumerable<string> WrongEdges(IReadOnlyList<SourceText> files)
    {
        var types = files.SelectMany(f => DeclaredType().Matches(f.Bones).Select(t => (Module: ModuleOf(f), Name: t.Groups[1].Value))).ToHashSet();
        foreach (var file in files)
        {
            // Program.cs and its like, above all modules.
            if (ModuleOf(file) is not { } module) continue;
            var folder = file.Path.Split('/')[2];
            if (module.Split('.')[0] != folder) yield return $"{file.Path}: the namespace of {module} stands in the folder {folder}";
            var used = Mention().Matches(file.Bones).Select(m => IsSubModule(m.Groups[1].Value, m.Groups[2].Value) ? $"{m.Groups[1].Value}.{m.Groups[2].Value}" : m.Groups[1].Value)
                .Concat(Relative().Matches(file.Bones).Where(m => types.Contains((m.Groups[1].Value, m.Groups[2].Value))).Select(m => m.Groups[1].Value));
            foreach (var other in used.Distinct().Where(other => !Allows(module, other))) yield return $"{file.Path}: {module} uses {other}";
        }
        bool IsSubModule(string module, string next) => module == "Channels" && next.Length > 0 && !types.Contains((module, next));
    }

    private static bool Allows(string module, string other)
    {
        if (module == other || Nobodys.Contains(module)) return true;
        if (Nobodys.Contains(other)) return false;
        // The context holds the entities of all.
        if (module == "Data") return true;
        if (module == "Common") return other == "Data";
        return Everybodys.Contains(other) || StepOf(other) < StepOf(module);
    }

    private static int StepOf(string module)
    {
        var step = Array.FindIndex(Steps, s => s.Contains(module.StartsWith("Channels.", StringComparison.Ordinal) ? "Channels.*" : module));
        return step >= 0 ? step : throw new InvalidOperationException($"The module {module} has no place in Steps.");
    }

    private static string? ModuleOf(SourceText file)
    {
        var names = Namespace().Match(file.Bones).Groups[1].Value.Split('.');
        return names[0].Length == 0 ? null : names[0] == "Channels" && names.Length > 1 ? $"Channels.{names[1]}" : names[0];
    }

    private static IEnumerable<string> RawSqlElsewhere(IReadOnlyList<SourceText> files) => files.SelectMany(file =>
        (HoldsRawSql().IsMatch(file.Code), RawSql.Contains(file.Path)) switch
        {
            (true, false) => [$"{file.Path}: SQL by hand; move it to where its table is worked on, or add the file to the list"],
            (false, true) => [$"{file.Path}: is listed for SQL by hand and holds none; take it off the list"],
            _ => Array.Empty<string>(),
        });

    private static IEnumerable<string> TooLong(IReadOnlyList<SourceText> files)
    {
        foreach (var file in files)
        {
            if (file.Lines.Count > MaxFileLines) yield return $"{file.Path}: {file.Lines.Count} lines";
            foreach (var (line, length) in Members(file.Bones.Split('\n')).Where(m => m.Length > MaxMethodLines)) yield return $"{file.Path}:{line}: a method of {length} lines";
        }
    }

    /// <summary>
    /// The members with a block, found by the layout that the formatter keeps: a brace alone on its line, closed by the next one at the same
    /// depth. What has a block and is no type is a method, a property, or an expression in braces, which may be as long as a method.
    /// </summary>
    private static IEnumerable<(int Line, int Length)> Members(string[] lines)
    {
        for (var open = 1; open < lines.Length; open++)
        {
            if (lines[open].Trim() != "{") continue;
            var depth = lines[open].TrimEnd();
            var head = open - 1;
            while (head > 0 && lines[head].Length - lines[head].TrimStart().Length >= depth.Length && lines[head - 1].Trim().Length > 0) head--;
            if (TypeHead().IsMatch(string.Join(' ', lines[head..open]))) continue;
            var close = Array.FindIndex(lines, open, l => l.StartsWith(depth[..^1] + "}", StringComparison.Ordinal));
            if (close > 0) yield return (head + 1, close - head + 1);
        }
    }

    private static IEnumerable<string> LonelyInterfaces(IReadOnlyList<SourceText> files)
    {
        var code = string.Join('\n', files.Select(f => f.Bones));
        foreach (var name in Interface().Matches(code).Select(m => m.Groups[1].Value).Where(name => !MayHaveOneImplementation.ContainsKey(name)))
        {
            var implementations = BaseList().Matches(code).Count(m => Regex.IsMatch(m.Groups[1].Value, $@"\b{name}\b"));
            if (implementations < 2) yield return $"{name} has {implementations} implementations; take the class itself";
        }
    }

    private static IEnumerable<string> TimesWithoutZone(IEnumerable<SourceText> files) =>
        files.Where(f => BareTimestamp().IsMatch(f.Code)).Select(f => $"{f.Path}: a time without its zone; use timestamptz");

    private static IEnumerable<string> OtherClocks(IEnumerable<SourceText> files) =>
        from file in files
        where file.Path != "src/CampaignService/Data/DatabaseClock.cs"
        from Match found in OtherClock().Matches(file.Code)
        select $"{file.Path}: {found.Value} is not the database's clock; take TimeProvider, in SQL clock_timestamp()";

    private static IEnumerable<string> SkippedOrCounted(IEnumerable<SourceText> files) =>
        from file in files
        where !MayCount.ContainsKey(file.Path)
        let found = (RawSql.Contains(file.Path) ? SkipsOrCounts() : SkipsOrCountsInEf()).Match(file.Code)
        where found.Success
        select $"{file.Path}: {found.Value} reads every row before the page; go by the last key, or name the reason in MayCount";

    private static IEnumerable<string> OwnersInDelivery(IEnumerable<SourceText> files) =>
        from file in files
        where file.Path.StartsWith("src/CampaignService/Delivery/", StringComparison.Ordinal)
        from Match found in OwnersTable().Matches(file.Code)
        select $"{file.Path}: {found.Value} is a table of an owner of batches; let the owner keep on the batch what delivery needs";

    private static IEnumerable<string> EmptyNames(IEnumerable<SourceText> files) =>
        files.SelectMany(f => EmptyName().Matches(f.Bones).Select(m => $"{f.Path}: {m.Groups[1].Value} says nothing; name it by what it does"));

    private static IEnumerable<string> QuartzElsewhere(IEnumerable<SourceText> files) =>
        files.Where(f => !MayNameQuartz.ContainsKey(f.Path) && Quartz().IsMatch(f.Code))
            .Select(f => $"{f.Path}: names Quartz; only ICampaignSchedule is known outside Scheduling/QuartzScheduling.cs");

    private static IEnumerable<string> NamesOutside(IEnumerable<SourceText> files) =>
        from file in files
        from line in file.Lines.Select((text, i) => (Text: text, Number: i + 1))
        where Outside().IsMatch(line.Text)
        select $"{file.Path}:{line.Number}: {line.Text.Trim()}";

    private static void AssertHolds(IEnumerable<string> faults)
    {
        var all = faults.ToList();
        Assert.True(all.Count == 0, string.Join('\n', all));
    }

    private static void AssertBreaks(IEnumerable<string> faults, string saying) => Assert.Contains(faults, f => f.Contains(saying, StringComparison.Ordinal));

    private static SourceText File(string path, string text) => new("src/CampaignService/" + path, text);

    private static IEnumerable<string> In(string folder, params string[] files) => files.Select(f => $"src/CampaignService/{folder}/{f}.cs");

    private static string Repeat(string text, int times) => string.Concat(Enumerable.Repeat(text, times));

    [GeneratedRegex(@"^namespace CampaignService\.([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"(?<!namespace )\bCampaignService\.(\w+)(?:\.(\w+))?")]
    private static partial Regex Mention();

    [GeneratedRegex(@"(?<![\w.])([A-Z]\w+)\.([A-Z]\w+)")]
    private static partial Regex Relative();

    [GeneratedRegex(@"\b(?:class|record|struct|interface|enum) ([A-Z]\w*)")]
    private static partial Regex DeclaredType();

    [GeneratedRegex(@"\b(NpgsqlCommand|NpgsqlBatch|CreateCommand|CreateBatch|FromSql\w*|ExecuteSql\w*|SqlQuery\w*|Begin(Raw)?Binary\w+|BeginText\w+|COPY \w)")]
    private static partial Regex HoldsRawSql();

    [GeneratedRegex(@"\b(class|struct|record|interface|enum|namespace) ")]
    private static partial Regex TypeHead();

    [GeneratedRegex(@"\binterface (I[A-Z]\w*)")]
    private static partial Regex Interface();

    [GeneratedRegex(@"\b(?:class|record|struct) \w+(?:<[^>]*>)?\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:([^{;]*)")]
    private static partial Regex BaseList();

    [GeneratedRegex(@"\btimestamp\b(?! with time zone)", RegexOptions.IgnoreCase)]
    private static partial Regex BareTimestamp();

    [GeneratedRegex(@"\bTimeProvider\.System\b|\bDateTime(Offset)?\.(Utc)?(Now|Today)\b|\b(now|transaction_timestamp|statement_timestamp|timeofday)\(\)|\b(CURRENT|LOCAL)_?(TIME|TIMESTAMP|DATE)\b", RegexOptions.IgnoreCase)]
    private static partial Regex OtherClock();

    [GeneratedRegex(@"\boffset\b|\bcount\s*\(\s*\*\s*\)", RegexOptions.IgnoreCase)]
    private static partial Regex SkipsOrCounts();

    [GeneratedRegex(@"\b(Long)?CountAsync\b|\bSkip\([^)]*\)\.Take\(")]
    private static partial Regex SkipsOrCountsInEf();

    [GeneratedRegex(@"\b(campaigns|notifications)\b(?!-)")]
    private static partial Regex OwnersTable();

    [GeneratedRegex(@"\b(?:class|record|struct|interface|enum) (\w*(?:Service|Manager|Helper))\b")]
    private static partial Regex EmptyName();

    [GeneratedRegex(@"\bQuartz\b|\bqrtz_", RegexOptions.IgnoreCase)]
    private static partial Regex Quartz();

    // In two halves, so that this file does not name them either.
    [GeneratedRegex(@"\.\./" + @"shared\b|(?<![\w./-])/(" + @"work|root)/|(?<![\w./-])/home/(?!linuxbrew/)\w+/")]
    private static partial Regex Outside();
}
