using System.Buffers;

namespace CampaignService.Campaigns;

/// <summary>The first row of a CSV file, understood.</summary>
/// <param name="Names">Every header as it stands in the file, without surrounding spaces.</param>
/// <param name="UserId">Which of them is the user id.</param>
/// <param name="Columns">The variables that the others name, spelled as in the schema.</param>
internal sealed record CsvHeader(IReadOnlyList<string> Names, int UserId, IReadOnlyList<string> Columns)
{
    private const string UserIdColumn = "user_id";

    private static readonly SearchValues<char> Allowed =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    /// <summary>Reads the headers, or refuses the file with every fault they have.</summary>
    public static CsvHeader From(IReadOnlyList<string> cells, int line, IReadOnlyList<string> variables)
    {
        var names = cells.Select(cell => cell.Trim()).ToList();
        var firstAt = new Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);
        var columns = new List<string>();
        var faults = new List<string>();
        for (var i = 0; i < names.Count; i++)
        {
            var column = IsUserId(names[i]) ? UserIdColumn : Variable(names[i], variables);
            var fault = Fault(names[i], column, firstAt, variables);
            if (fault is not null)
            {
                faults.Add($"line {line}, column {i + 1}: {fault}");
            }
            else if (column != UserIdColumn)
            {
                columns.Add(column!);
            }

            firstAt.TryAdd(column ?? names[i], i);
        }

        if (!firstAt.TryGetValue(UserIdColumn, out var userId))
        {
            faults.Add($"line {line}: there is no user_id column. Give the column with the ids of your users the header user_id");
        }

        return faults.Count == 0 ? new CsvHeader(names, userId, columns) : throw CsvRefusal.Because(faults);
    }

    public static bool IsUserId(ReadOnlySpan<char> name) =>
        name.Equals(UserIdColumn, StringComparison.OrdinalIgnoreCase) || name.Equals("userId", StringComparison.OrdinalIgnoreCase);

    private static string? Fault(string name, string? column, Dictionary<string, int> firstAt, IReadOnlyList<string> variables)
    {
        if (name.Length == 0)
        {
            return "the header is empty. Name the column, or remove it";
        }

        var shown = CsvRefusal.Show(name);
        if (name.AsSpan().ContainsAnyExcept(Allowed))
        {
            return $"the header {shown} may hold only letters (A to Z), digits, _ and -. Rename it; allowed are {Choice(variables)}";
        }

        if (firstAt.TryGetValue(column ?? name, out var first))
        {
            return $"the header {shown} repeats that of column {first + 1}. Remove one of the two";
        }

        return column is null
            ? $"{shown} is not a variable of the template. Rename or remove the column; allowed are {Choice(variables)}"
            : null;
    }

    /// <summary>The variable of this name; spelled exactly so, when two differ in case alone.</summary>
    private static string? Variable(string name, IReadOnlyList<string> variables) =>
        variables.FirstOrDefault(key => key == name)
        ?? variables.FirstOrDefault(key => key.Equals(name, StringComparison.OrdinalIgnoreCase));

    private static string Choice(IReadOnlyList<string> variables) => string.Join(", ", variables.Prepend(UserIdColumn));
}
