using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace CampaignService.Delivery.External;

/// <summary>
/// The ids by which receivers tell messages apart: the same for the same batch, channel and person for ever, and so kept nowhere. They say
/// nothing of the person to anybody without the key.
/// </summary>
/// <param name="key">The database's own, so that all processes make the same.</param>
public sealed class MessageIds(byte[] key) : IDisposable
{
    private readonly Lock _lock = new();

    // Kept, for making one takes longer than to use it.
    private readonly IncrementalHash _hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);

    public string Of(long batchId, int channelNo, string userId)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        var length = 12 + Encoding.UTF8.GetByteCount(userId);
        var named = length <= 256 ? stackalloc byte[length] : new byte[length];
        BinaryPrimitives.WriteInt64BigEndian(named, batchId);
        BinaryPrimitives.WriteInt32BigEndian(named[8..], channelNo);
        Encoding.UTF8.GetBytes(userId, named[12..]);
        lock (_lock)
        {
            _hash.AppendData(named);
            _hash.GetHashAndReset(hash);
        }
        return "msg_" + Base64Url.EncodeToString(hash[..18]);
    }

    public void Dispose() => _hash.Dispose();
}
