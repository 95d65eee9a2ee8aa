using System.Text;
using CampaignService.Webhooks;

namespace CampaignService.UnitTests.Webhooks;

public class WebhookSecretTests
{
    [Fact]
    public void It_signs_as_the_reference_vector_of_Standard_Webhooks_says()
    {
        var signature = WebhookSecret.Sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", DateTimeOffset.FromUnixTimeSeconds(1614265330), Encoding.UTF8.GetBytes("{\"test\": 2432232314}"));
        Assert.Equal("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signature);
    }

    [Fact]
    public void Two_secrets_make_two_signatures_with_a_space_between()
    {
        var (first, second) = (WebhookSecret.Make(), WebhookSecret.Make());
        var (at, body) = (DateTimeOffset.FromUnixTimeSeconds(1), "{}"u8.ToArray());
        Assert.Equal($"{WebhookSecret.Sign([first], "a", at, body)} {WebhookSecret.Sign([second], "a", at, body)}", WebhookSecret.Sign([first, second], "a", at, body));
        Assert.NotEqual(first, second);
    }

    [Theory]
    [InlineData(23, false)]
    [InlineData(24, true)]
    [InlineData(64, true)]
    [InlineData(65, false)]
    [InlineData(0, false)]
    public void A_secret_has_24_to_64_bytes(int bytes, bool isValid) => Assert.Equal(isValid, WebhookSecret.IsValid("whsec_" + Convert.ToBase64String(new byte[bytes])));

    [Theory]
    [InlineData("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*")]
    [InlineData("whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("")]
    public void What_is_written_otherwise_is_none(string secret) => Assert.False(WebhookSecret.IsValid(secret));

    [Fact]
    public void What_is_made_is_valid() => Assert.All(Enumerable.Range(0, 100), _ => Assert.True(WebhookSecret.IsValid(WebhookSecret.Make())));
}
