using System.Text;

namespace CampaignService.Data;

/// <summary>A <c>text[]</c> as PostgreSQL writes it, for where an array of arrays of different lengths is needed, which PostgreSQL has not.</summary>
public static class TextArray
{
    public static string Literal(ReadOnlySpan<string?> values)
    {
        // Those left out at the end are not given either.
        while (!values.IsEmpty && values[^1] is null) values = values[..^1];
        var text = new StringBuilder("{");
        foreach (var value in values)
        {
            if (text.Length > 1) text.Append(',');
            if (value is null) text.Append("NULL");
            else text.Append('"').Append(value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)).Append('"');
        }
        return text.Append('}').ToString();
    }

    /// <summary>Reads what <see cref="Literal"/> wrote.</summary>
    public static string?[] Read(string literal)
    {
        var values = new List<string?>();
        for (var at = 1; at < literal.Length - 1; at++)
        {
            if (literal[at] == ',') continue;
            if (literal[at] == 'N')
            {
                values.Add(null);
                at += "NULL".Length - 1;
                continue;
            }
            var value = new StringBuilder();
            for (at++; literal[at] != '"'; at++) value.Append(literal[at] == '\\' ? literal[++at] : literal[at]);
            values.Add(value.ToString());
        }
        return [.. values];
    }
}
