using System.Security.Cryptography;
using System.Text;
using CampaignService.Common;

namespace CampaignService.Data;

/// <summary>
/// Keeps small secrets of callers, such as the key that signs their webhooks, unreadable in the database and its backups. AES-256-GCM; each is
/// tied to what it belongs to, so that one that was copied to another row does not open there. The first key seals, every one opens: to change the
/// key, put the new one in front, and take the old one away when nothing is sealed with it any more.
/// </summary>
/// <param name="keys">Of 32 bytes each.</param>
public sealed class SecretBox(IReadOnlyList<byte[]> keys)
{
    private const byte Format = 1;
    private const int KeyLength = 32, KeyIdLength = 4, NonceLength = 12, TagLength = 16, HeadLength = 1 + KeyIdLength + NonceLength + TagLength;

    /// <param name="secret">What to keep.</param>
    /// <param name="owner">What it belongs to, such as the id of a webhook; the same is needed to open it.</param>
    public byte[] Seal(string secret, string owner)
    {
        var text = Encoding.UTF8.GetBytes(secret);
        var box = new byte[HeadLength + text.Length];
        box[0] = Format;
        KeyId(keys[0]).CopyTo(box.AsSpan(1));
        var nonce = box.AsSpan(1 + KeyIdLength, NonceLength);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(keys[0], TagLength);
        aes.Encrypt(nonce, text, box.AsSpan(HeadLength), box.AsSpan(HeadLength - TagLength, TagLength), Encoding.UTF8.GetBytes(owner));
        return box;
    }

    /// <exception cref="CryptographicException">It was sealed with a key that is not here, belongs to another, or was changed.</exception>
    public string Open(ReadOnlySpan<byte> box, string owner)
    {
        if (box.Length < HeadLength || box[0] != Format) throw new CryptographicException("This is no sealed secret.");
        foreach (var key in keys)
        {
            if (!box.Slice(1, KeyIdLength).SequenceEqual(KeyId(key))) continue;
            var text = new byte[box.Length - HeadLength];
            using var aes = new AesGcm(key, TagLength);
            aes.Decrypt(box.Slice(1 + KeyIdLength, NonceLength), box[HeadLength..], box.Slice(HeadLength - TagLength, TagLength), text, Encoding.UTF8.GetBytes(owner));
            return Encoding.UTF8.GetString(text);
        }
        throw new CryptographicException("The key that this secret was sealed with is not among those in Secrets__Key.");
    }

    /// <summary>The keys in the setting <c>Secrets__Key</c>, separated by commas; none when it is unset.</summary>
    /// <exception cref="StartException">One is not base64 of 32 bytes.</exception>
    public static IReadOnlyList<byte[]> KeysIn(string? setting) =>
        [.. (setting ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(KeyIn)];

    private static byte[] KeyIn(string text)
    {
        var key = new byte[KeyLength + 1];
        return Convert.TryFromBase64String(text, key, out var length) && length == KeyLength ? key[..KeyLength]
            : throw new StartException("Secrets__Key must hold keys of 32 bytes in base64, separated by commas; `openssl rand -base64 32` makes one.");
    }

    private static byte[] KeyId(byte[] key) => SHA256.HashData(key)[..KeyIdLength];
}
