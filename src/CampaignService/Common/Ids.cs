using System.Globalization;

namespace CampaignService.Common;

/// <summary>
/// The ids that callers see: a prefix that names the kind, then a UUIDv7 or the sixteen hexadecimal digits of a number made by the
/// database's <c>next_id()</c>. Callers must treat them as opaque.
/// </summary>
public static class Ids
{
    public const string ApiKey = "key", Category = "cat", Campaign = "cmp", Channel = "chn", Device = "dev", Template = "tpl", Notification = "ntf", FeedItem = "fit", Event = "evt", Webhook = "whk", Attempt = "att";

    /// <summary>A new id; those made later sort behind, so a list ordered by id is ordered by time.</summary>
    public static string New(string prefix, DateTimeOffset now) => $"{prefix}_{Guid.CreateVersion7(now):N}";

    public static string FromNumber(string prefix, long number) => string.Create(CultureInfo.InvariantCulture, $"{prefix}_{number:x16}");

    public static bool TryNumber(string prefix, string id, out long number)
    {
        number = 0;
        return id.Length == prefix.Length + 17 && id.StartsWith(prefix, StringComparison.Ordinal) && id[prefix.Length] == '_'
            && long.TryParse(id.AsSpan(prefix.Length + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number)
            && FromNumber(prefix, number) == id;
    }
}
