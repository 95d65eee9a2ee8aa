using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace CampaignService.Common;

/// <summary>
/// Turns the key of a page's last row into the cursor a caller gets, and back. The cursor carries a keyed hash over the key and the
/// list it belongs to, so that a made-up cursor, or one of another list or app, is refused and never reaches a query.
/// </summary>
public sealed class Cursors(byte[] secret)
{
    private const int TagLength = 16;

    public string Encode(string list, string key)
    {
        var body = Encoding.UTF8.GetBytes(key);
        return Base64Url.EncodeToString([.. Tag(list, body), .. body]);
    }

    /// <returns>The key, or null when no cursor was given.</returns>
    /// <exception cref="ApiException">400: this is no cursor of that list.</exception>
    public string? Decode(string list, string? cursor)
    {
        if (cursor is null) return null;
        // Only as Encode writes it: base64url as such would also take padding, white space and loose bits at the end.
        if (Base64Url.IsValid(cursor) && Base64Url.DecodeFromChars(cursor) is { Length: >= TagLength } bytes && Base64Url.EncodeToString(bytes) == cursor)
        {
            var body = bytes.AsSpan(TagLength);
            if (CryptographicOperations.FixedTimeEquals(bytes.AsSpan(0, TagLength), Tag(list, body))) return Encoding.UTF8.GetString(body);
        }
        throw new ApiException(Errors.BadRequest("cursor: is not a cursor of this list; take it unchanged from meta.next, or leave it out to start at the first page"));
    }

    private byte[] Tag(string list, ReadOnlySpan<byte> body)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, secret);
        hash.AppendData(Encoding.UTF8.GetBytes(list));
        hash.AppendData([0]);
        hash.AppendData(body);
        return hash.GetHashAndReset()[..TagLength];
    }
}
