using System.Globalization;

namespace CampaignService.Benchmarks;

/// <summary>One figure of the run.</summary>
/// <param name="Name">What was measured.</param>
/// <param name="Value">The median over the repetitions; of a ratio: of the ratios, repetition by repetition.</param>
/// <param name="Unit"><c>x</c> for a ratio.</param>
/// <param name="Goal">What it should be; null when the floor is all that is asked.</param>
/// <param name="Floor">What it must be: a run that misses it fails.</param>
/// <param name="AtMost">Whether less is better.</param>
/// <param name="Raw">The numbers behind it.</param>
internal sealed record Figure(string Name, double Value, string Unit, double? Goal, double Floor, bool AtMost, string Raw)
{
    public bool MeetsFloor => Meets(Floor);

    public string Verdict => !MeetsFloor ? "MISSED" : Goal is { } goal && !Meets(goal) ? "floor met" : "met";

    public string Shown(double number) => Unit == "x"
        ? number.ToString("0.00", CultureInfo.InvariantCulture)
        : number.ToString(Unit == "MB" ? "0" : "0.##", CultureInfo.InvariantCulture) + " " + Unit;

    public string Bound(double number) => (AtMost ? "≤ " : "≥ ") + Shown(number);

    private bool Meets(double bound) => AtMost ? Value <= bound : Value >= bound;
}

internal static class Numbers
{
    public static double Median(this IEnumerable<double> numbers)
    {
        double[] sorted = [.. numbers.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>A median, and all of them in the order in which they were measured.</summary>
    public static string Seconds(this IReadOnlyList<double> times) => string.Create(CultureInfo.InvariantCulture,
        $"{times.Median():0.000} s ({string.Join(", ", times.Select(t => t.ToString("0.000", CultureInfo.InvariantCulture)))})");

    public static string Rate(this IReadOnlyList<double> times, int rows) =>
        string.Create(CultureInfo.InvariantCulture, $"{rows / times.Median() / 1000:0}k/s");

    public static double[] Ratios(this IEnumerable<double> above, IEnumerable<double> below) => [.. above.Zip(below, (a, b) => a / b)];
}
