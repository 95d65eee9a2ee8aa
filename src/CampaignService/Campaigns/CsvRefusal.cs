using System.Text;
using CampaignService.Common;

namespace CampaignService.Campaigns;

/// <summary>The words in which a whole CSV file is refused.</summary>
internal static class CsvRefusal
{
    private const int MaxFaults = 20;
    private const int MaxShown = 40;

    public static ApiException Because(params IReadOnlyList<string> faults)
    {
        var details = faults.Take(MaxFaults).Select(fault => $"file: {fault}.").ToList();
        if (faults.Count > MaxFaults)
        {
            details.Add($"file: and {faults.Count - MaxFaults} faults more.");
        }

        return new ApiException(Errors.BadRequest(details));
    }

    /// <summary>Text of the file in quotes, shortened, with what cannot be seen spelled out.</summary>
    public static string Show(string text)
    {
        var shown = new StringBuilder("\"");
        foreach (var rune in text.EnumerateRunes())
        {
            if (shown.Length > MaxShown)
            {
                return shown.Append("…\"").ToString();
            }

            var visible = rune.Value == ' ' || !(Rune.IsControl(rune) || Rune.IsWhiteSpace(rune) || IsFormat(rune));
            shown.Append(visible ? rune.ToString() : $"\\u{rune.Value:X4}");
        }

        return shown.Append('"').ToString();
    }

    private static bool IsFormat(Rune rune) => Rune.GetUnicodeCategory(rune) == System.Globalization.UnicodeCategory.Format;
}
