using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;

namespace CampaignService.Webhooks;

/// <summary>
/// Secrets and signatures as the Standard Webhooks specification has them: a secret is <c>whsec_</c> and the base64 of 24 to 64 bytes, and what
/// is signed is the event's id, the time of the attempt and the bytes of the body. So a receiver knows who sent it, that nobody changed it, and
/// how old it is.
/// </summary>
public static class WebhookSecret
{
    public const string Prefix = "whsec_", Expected = "must be whsec_ followed by the base64 of 24 to 64 bytes; leave it out to have one made";

    private const int MinBytes = 24, MaxBytes = 64, MadeBytes = 32;

    public static string Make() => Prefix + Convert.ToBase64String(RandomNumberGenerator.GetBytes(MadeBytes));

    public static bool IsValid(string secret) => TryKey(secret, out _);

    /// <summary>Gives a request the three headers of the specification.</summary>
    public static void SignTo(HttpRequestHeaders headers, IEnumerable<string> secrets, string id, DateTimeOffset at, ReadOnlySpan<byte> body)
    {
        headers.TryAddWithoutValidation("webhook-id", id);
        headers.TryAddWithoutValidation("webhook-timestamp", at.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture));
        headers.TryAddWithoutValidation("webhook-signature", Sign(secrets, id, at, body));
    }

    /// <summary>The header <c>webhook-signature</c>: one for each secret, so that a receiver who has changed theirs, and one who has not, find their own.</summary>
    public static string Sign(IEnumerable<string> secrets, string id, DateTimeOffset at, ReadOnlySpan<byte> body)
    {
        byte[] signed = [.. Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{at.ToUnixTimeSeconds()}.")), .. body];
        return string.Join(' ', secrets.Select(secret => "v1," + Convert.ToBase64String(HMACSHA256.HashData(KeyOf(secret), signed))));
    }

    private static byte[] KeyOf(string secret) => TryKey(secret, out var key) ? key : throw new FormatException("A stored secret is none.");

    private static bool TryKey(string secret, out byte[] key)
    {
        key = [];
        if (!secret.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        var bytes = new byte[MaxBytes + 3];
        if (!Convert.TryFromBase64String(secret[Prefix.Length..], bytes, out var length) || length is < MinBytes or > MaxBytes) return false;
        key = bytes[..length];
        // Only as it is written: base64 as such would also take white space, which a receiver's library may not.
        return Convert.ToBase64String(key) == secret[Prefix.Length..];
    }
}
