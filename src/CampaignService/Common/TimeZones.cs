using System.Text.RegularExpressions;

namespace CampaignService.Common;

/// <summary>Time zones by their IANA names.</summary>
public static partial class TimeZones
{
    public const string Expected = "must be the IANA name of a time zone, such as Europe/Berlin";

    /// <returns>Null when there is none of this name.</returns>
    public static TimeZoneInfo? Find(string name) =>
        name.Length <= 64 && Form().IsMatch(name) && TimeZoneInfo.TryFindSystemTimeZoneById(name, out var zone) ? zone : null;

    [GeneratedRegex(@"^[A-Za-z][\w+-]*(/[\w+-]+)*\z")]
    private static partial Regex Form();
}
