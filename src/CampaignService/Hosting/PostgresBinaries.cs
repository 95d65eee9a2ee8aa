using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace CampaignService.Hosting;

/// <summary>A folder with the programs of one PostgreSQL server, and the major version they are of.</summary>
internal sealed partial record PostgresBinaries(string Directory, int Major)
{
    /// <summary>The oldest version that the service's SQL runs on.</summary>
    public const int OldestMajor = 13;

    private static readonly string[] Programs = ["postgres", "initdb", "pg_ctl"];

    /// <summary>Where packages put their server programs: a folder, the pattern of the version's folder in it, and what follows.</summary>
    private static readonly (string Root, string Pattern, string Below)[] PackageFolders =
    [
        ("/usr/lib/postgresql", "*", "bin"),
        ("/usr", "pgsql-*", "bin"),
        ("/usr/local", "pgsql*", "bin"),
        ("/usr/libexec", "postgresql*", ""),
        ("/opt/homebrew/opt", "postgresql*", "bin"),
        ("/usr/local/opt", "postgresql*", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql*", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "*", "bin"),
        ("/Library/PostgreSQL", "*", "bin"),
    ];

    public string Program(string name) => Path.Combine(Directory, name);

    /// <summary>The newest binaries on this machine or, for a data folder that exists, those of the version that made it.</summary>
    /// <exception cref="DatabaseStartException">There are none; the message says what to install.</exception>
    public static PostgresBinaries Find(string dataDirectory, int? madeByMajor)
    {
        List<PostgresBinaries> found = [.. Candidates().Select(At).OfType<PostgresBinaries>().Distinct()];
        PostgresBinaries? best = madeByMajor is null
            ? found.Where(b => b.Major >= OldestMajor).MaxBy(b => b.Major)
            : found.Find(b => b.Major == madeByMajor);
        return best ?? throw new DatabaseStartException(NotFound(dataDirectory, madeByMajor, found));
    }

    private static IEnumerable<string> Candidates()
    {
        if (Environment.GetEnvironmentVariable("PGBIN") is { Length: > 0 } chosen)
            return [chosen];
        string[] path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return path.Concat(PackageFolders
            .Where(place => System.IO.Directory.Exists(place.Root))
            .SelectMany(place => System.IO.Directory.EnumerateDirectories(place.Root, place.Pattern)
                .Select(version => Path.Combine(version, place.Below))));
    }

    private static PostgresBinaries? At(string directory)
    {
        // A link in /usr/local/bin stands for the package's folder, whose name tells the version and which holds the other programs.
        if (!File.Exists(Path.Combine(directory, "postgres")))
            return null;
        string server = File.ResolveLinkTarget(Path.Combine(directory, "postgres"), returnFinalTarget: true)?.FullName
            ?? Path.Combine(directory, "postgres");
        string real = Path.GetDirectoryName(server)!;
        return Array.TrueForAll(Programs, name => File.Exists(Path.Combine(real, name))) ? new(real, MajorOf(real)) : null;
    }

    /// <summary>Asking the program costs a process, so only a folder whose name does not say it is asked.</summary>
    private static int MajorOf(string directory)
    {
        Match named = VersionedFolder().Match(directory);
        Match version = named.Success ? named : VersionText().Match(Ask(Path.Combine(directory, "postgres")));
        return version.Success ? int.Parse(version.Groups["major"].ValueSpan, CultureInfo.InvariantCulture) : 0;
    }

    private static string Ask(string server)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(server, "--version") { RedirectStandardOutput = true })!;
            return process.StandardOutput.ReadToEnd();
        }
        catch (Win32Exception)
        {
            return ""; // not a program of this machine
        }
    }

    private static string NotFound(string dataDirectory, int? madeByMajor, List<PostgresBinaries> found)
    {
        string have = found.Count == 0 ? "none" : string.Join(", ", found.Select(b => b.Major).Order().Distinct());
        if (madeByMajor is not null)
        {
            return $"The data folder {dataDirectory} was made by PostgreSQL {madeByMajor}, but the version installed here is: {have}. "
                + $"Install PostgreSQL {madeByMajor}; or, to move to the newer version, dump the data with the old one (pg_dumpall), "
                + "move the folder away and restore the dump into the one that the next start makes.";
        }

        string wherePgbin = Environment.GetEnvironmentVariable("PGBIN") is { Length: > 0 } chosen ? $" in PGBIN={chosen}" : "";
        return $"No PostgreSQL server of version {OldestMajor} or newer was found{wherePgbin} (found: {have}). Install one "
            + "(Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), "
            + "name the folder of its programs in PGBIN, or name a running server in ConnectionStrings__Campaigns.";
    }

    [GeneratedRegex(@"(?:postgresql|pgsql|Versions)[@/-](?<major>\d+)(?:\.\d+)*(?:/|$)", RegexOptions.IgnoreCase)]
    private static partial Regex VersionedFolder();

    [GeneratedRegex(@"\(PostgreSQL\)\D*(?<major>\d+)")]
    private static partial Regex VersionText();
}
