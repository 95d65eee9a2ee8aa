using System.Text.RegularExpressions;

namespace CampaignService.UnitTests.Support;

/// <summary>A text file of the repository, or a made-up one, by its path from the root with forward slashes.</summary>
public sealed partial record SourceText(string Path, string Text)
{
    private static readonly string[] NotOurs = [".git", "bin", "obj", ".data", ".vs", ".idea", "TestResults", "artifacts"];

    /// <summary>The lines as they stand, the last line break not making one more.</summary>
    public IReadOnlyList<string> Lines => Text.TrimEnd('\n').Split('\n');

    /// <summary>The code with comments blanked; every line keeps its number.</summary>
    public string Code => Token().Replace(Text, m => m.Value.StartsWith("//", StringComparison.Ordinal) || m.Value.StartsWith("/*", StringComparison.Ordinal) ? Blank(m.Value) : m.Value);

    /// <summary>The code with comments and everything in quotes blanked.</summary>
    public string Bones => Token().Replace(Text, m => Blank(m.Value));

    /// <summary>Every file under a folder of the repository that is not built or downloaded.</summary>
    public static IReadOnlyList<SourceText> All(string folder = "", string pattern = "*")
    {
        var root = Root();
        return [.. Under(new DirectoryInfo(System.IO.Path.Combine(root, folder)), pattern)
            .Select(f => new SourceText(System.IO.Path.GetRelativePath(root, f.FullName).Replace('\\', '/'), File.ReadAllText(f.FullName)))
            .OrderBy(f => f.Path, StringComparer.Ordinal)];
    }

    /// <summary>The code of the service without the migrations that a tool has written.</summary>
    public static IReadOnlyList<SourceText> Service() =>
        [.. All("src", "*.cs").Where(f => !f.Path.Contains("/Data/Migrations/", StringComparison.Ordinal))];

    private static IEnumerable<FileInfo> Under(DirectoryInfo folder, string pattern) => folder.EnumerateFiles(pattern)
        .Concat(folder.EnumerateDirectories().Where(d => !NotOurs.Contains(d.Name) && d.LinkTarget is null).SelectMany(d => Under(d, pattern)));

    private static string Root()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "Campaigns.sln"))) return folder.FullName;
        }
        throw new InvalidOperationException($"There is no Campaigns.sln above {AppContext.BaseDirectory}.");
    }

    private static string Blank(string text) => NoBreak().Replace(text, " ");

    [GeneratedRegex(""""
        (?<q>"{3,})[\s\S]*?\k<q>|[$@]*@[$@]*"(?:[^"]|"")*"|"(?:\\.|[^"\\\n])*"|'(?:\\[^\n]{1,9}?|[^'\\\n])'|//[^\n]*|/\*[\s\S]*?\*/
        """")]
    private static partial Regex Token();

    [GeneratedRegex("[^\n]")]
    private static partial Regex NoBreak();
}
