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
public sealed class MessageIds(byte[] key)
{
    public string Of(long batchId, int channelNo, string userId)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        var named = new byte[12 + Encoding.UTF8.GetByteCount(userId)];
        BinaryPrimitives.WriteInt64BigEndian(named, batchId);
        BinaryPrimitives.WriteInt32BigEndian(named.AsSpan(8), channelNo);
        Encoding.UTF8.GetBytes(userId, named.AsSpan(12));
        HMACSHA256.HashData(key, named, hash);
        return "msg_" + Base64Url.EncodeToString(hash[..18]);
    }
}
