using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace CampaignService.Common;

/// <summary>Rules on text that hold everywhere.</summary>
public static partial class Text
{
    public const int MaxName = 200, MaxLabel = 100, MaxUserId = 255;

    /// <summary>Length as people count it in limits: Unicode code points, not UTF-16 units.</summary>
    public static int Length(ReadOnlySpan<char> text)
    {
        var n = 0;
        foreach (var _ in text.EnumerateRunes()) n++;
        return n;
    }

    /// <summary>What is wrong with a user id, or nothing. Surrounding white space does not count.</summary>
    public static string? UserIdFault(string? id) => id is null ? "must be text"
        : Length(id.AsSpan().Trim()) is var n && n == 0 ? "must not be empty"
        : n > MaxUserId ? $"must have at most {MaxUserId} characters, this has {n}"
        : BeginsUnseen(id) ? "must not begin with a control character"
        : null;

    /// <summary>Whether it begins with a control character. Such an id would sort before those that stand for erased people, which begin with a space.</summary>
    public static bool BeginsUnseen(ReadOnlySpan<char> userId) => userId.Trim() is [< ' ', ..];

    /// <summary>
    /// A name turned into the form used in slugs: lower-case ASCII letters and digits, joined by single dashes. A name without any gets
    /// digits of its own hash, so that names in other scripts differ.
    /// </summary>
    public static string Slug(string name)
    {
        var slug = NotSlug().Replace(name.ToLowerInvariant(), "-").Trim('-');
        return slug.Length == 0 ? Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name.Trim())))[..12]
            : slug.Length > 80 ? slug[..80].TrimEnd('-') : slug;
    }

    /// <summary>White space around a text is no part of it; nothing but white space is no text at all.</summary>
    public static string? TrimToNull(string? text) => string.IsNullOrWhiteSpace(text) ? null : text.Trim();

    /// <summary>The words of a list separated by commas.</summary>
    public static string[] Listed(string? list) => list?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    /// <summary>
    /// What another server wrote, as it can be stored: without U+0000, which PostgreSQL does not take, with U+FFFD for halves of characters, and
    /// at most so many code points of it.
    /// </summary>
    public static string Storable(string text, int most)
    {
        var kept = new StringBuilder(Math.Min(text.Length, most));
        foreach (var rune in text.EnumerateRunes())
        {
            if (rune.Value == 0) continue;
            if (most-- == 0) break;
            kept.Append(rune.ToString());
        }
        return kept.ToString();
    }

    /// <summary>A pattern for ILIKE that finds the text anywhere, with its own wildcards taken literally.</summary>
    public static string LikePattern(string search) =>
        "%" + search.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("%", "\\%", StringComparison.Ordinal).Replace("_", "\\_", StringComparison.Ordinal) + "%";

    [GeneratedRegex("[^a-z0-9]+")]
    private static partial Regex NotSlug();

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}\z")]
    public static partial Regex SlugForm();
}
