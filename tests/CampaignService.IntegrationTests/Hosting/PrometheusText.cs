using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace CampaignService.IntegrationTests.Hosting;

/// <summary>
/// Reads the text format of Prometheus as strictly as its definition allows: each metric is described, then typed, then told in one piece;
/// no series comes twice.
/// </summary>
internal sealed partial class PrometheusText
{
    private readonly Dictionary<string, double> _samples = [];

    public Dictionary<string, string> Types { get; } = [];

    public IEnumerable<string> Series => _samples.Keys;

    /// <summary>A number, 0 when it is not there.</summary>
    /// <param name="name">The metric.</param>
    /// <param name="labels">Its labels, in the order of their names.</param>
    public double this[string name, params (string Name, string Value)[] labels] => _samples.GetValueOrDefault(Key(name, labels));

    public static PrometheusText Parse(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        var parsed = new PrometheusText();
        string? described = null, current = null;
        foreach (var line in text[..^1].Split('\n'))
        {
            if (Help().Match(line) is { Success: true } help)
            {
                described = help.Groups[1].Value;
                Assert.False(parsed.Types.ContainsKey(described), $"{described} comes twice");
            }
            else if (Type().Match(line) is { Success: true } type)
            {
                current = type.Groups[1].Value;
                Assert.Equal(described, current);
                parsed.Types.Add(current, type.Groups[2].Value);
            }
            else
            {
                parsed.Read(line, current);
            }
        }
        return parsed;
    }

    private void Read(string line, string? family)
    {
        var sample = Sample().Match(line);
        Assert.True(sample.Success, $"not a sample: {line}");
        var name = sample.Groups["name"].Value;
        Assert.True(name == family || (Types[family!] == "histogram" && HistogramPart().Replace(name, "") == family), $"{name} stands under {family}");
        var labels = Label().Matches(sample.Groups["labels"].Value).Select(l => (l.Groups[1].Value, Unescape(l.Groups[2].Value))).ToArray();
        Assert.Equal(labels.Length, labels.Select(l => l.Item1).Distinct().Count());
        var number = sample.Groups["value"].Value;
        var value = number == "+Inf" ? double.PositiveInfinity : number == "-Inf" ? double.NegativeInfinity : double.Parse(number, NumberStyles.Float, CultureInfo.InvariantCulture);
        Assert.True(_samples.TryAdd(Key(name, labels), value), $"comes twice: {line}");
    }

    private static string Key(string name, (string Name, string Value)[] labels) => labels.Aggregate(new StringBuilder(name), (k, l) => k.Append('|').Append(l.Name).Append('=').Append(l.Value)).ToString();

    private static string Unescape(string value) => Escape().Replace(value, m => m.Value switch { "\\n" => "\n", _ => m.Value[1..] });

    [GeneratedRegex("^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) .*$")]
    private static partial Regex Help();

    [GeneratedRegex("^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$")]
    private static partial Regex Type();

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*")*)\})? (?<value>[+-]Inf|NaN|-?\d+(\.\d+)?([eE][+-]?\d+)?)$""")]
    private static partial Regex Sample();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)""")]
    private static partial Regex Label();

    [GeneratedRegex(@"\\.")]
    private static partial Regex Escape();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramPart();
}
