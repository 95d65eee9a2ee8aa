using System.Security.Cryptography;
using System.Text;

namespace CampaignService.Common;

public static class Secret
{
    /// <summary>Whether they are the same, in a time that tells nothing of where they differ or how long they are.</summary>
    public static bool Equal(string given, string expected) =>
        CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(given)), SHA256.HashData(Encoding.UTF8.GetBytes(expected)));
}
