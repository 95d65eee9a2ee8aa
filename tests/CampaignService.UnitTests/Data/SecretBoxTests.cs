using System.Security.Cryptography;
using CampaignService.Common;
using CampaignService.Data;

namespace CampaignService.UnitTests.Data;

public class SecretBoxTests
{
    private static readonly byte[] Old = RandomNumberGenerator.GetBytes(32), New = RandomNumberGenerator.GetBytes(32);

    [Fact]
    public void What_is_sealed_opens_for_its_owner_only()
    {
        var box = new SecretBox([Old]);
        var closed = box.Seal("whsec_größe", "whk_1");
        Assert.Equal("whsec_größe", box.Open(closed, "whk_1"));
        Assert.ThrowsAny<CryptographicException>(() => box.Open(closed, "whk_2"));
        Assert.NotEqual(closed, box.Seal("whsec_größe", "whk_1"));
    }

    [Fact]
    public void One_changed_bit_anywhere_and_it_stays_shut()
    {
        var box = new SecretBox([Old]);
        var closed = box.Seal("secret", "a");
        Assert.All(Enumerable.Range(0, closed.Length), i =>
        {
            byte[] changed = [.. closed];
            changed[i] ^= 1;
            Assert.ThrowsAny<CryptographicException>(() => box.Open(changed, "a"));
        });
        Assert.ThrowsAny<CryptographicException>(() => box.Open([], "a"));
    }

    [Fact]
    public void A_key_is_changed_by_putting_the_new_one_in_front()
    {
        var closed = new SecretBox([Old]).Seal("secret", "a");
        var both = new SecretBox([New, Old]);
        Assert.Equal("secret", both.Open(closed, "a"));
        Assert.Equal("secret", new SecretBox([New]).Open(both.Seal("secret", "a"), "a"));
        Assert.Contains("Secrets__Key", Assert.Throws<CryptographicException>(() => new SecretBox([New]).Open(closed, "a")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_are_read_from_a_setting_with_commas()
    {
        Assert.Equal([New, Old], SecretBox.KeysIn($" {Convert.ToBase64String(New)} ,{Convert.ToBase64String(Old)},"));
        Assert.Empty(SecretBox.KeysIn(null));
        Assert.Empty(SecretBox.KeysIn(""));
    }

    [Theory]
    [InlineData("not base64")]
    [InlineData("AAAA")]
    public void What_is_no_key_of_32_bytes_stops_the_start(string setting) => Assert.Throws<StartException>(() => SecretBox.KeysIn(setting));

    [Fact]
    public void A_key_that_is_too_long_is_none() => Assert.Throws<StartException>(() => SecretBox.KeysIn(Convert.ToBase64String(new byte[33])));
}
