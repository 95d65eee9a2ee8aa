using System.Net;
using CampaignService.Common;

namespace CampaignService.UnitTests.Common;

public class OutboundAddressTests
{
    [Theory]
    [InlineData("8.8.8.8")]
    [InlineData("172.15.255.255")]
    [InlineData("172.32.0.1")]
    [InlineData("100.63.255.255")]
    [InlineData("2606:4700:4700::1111")]
    [InlineData("::ffff:8.8.8.8")]
    [InlineData("64:ff9b::8.8.8.8")]
    public void Public_addresses_are_called(string address) => Assert.True(OutboundAddress.IsAllowed(IPAddress.Parse(address), allowPrivate: false));

    [Theory]
    [InlineData("10.0.0.1")]
    [InlineData("127.0.0.1")]
    [InlineData("127.255.255.254")]
    [InlineData("172.16.0.1")]
    [InlineData("172.31.255.255")]
    [InlineData("192.168.1.1")]
    [InlineData("100.64.0.1")]
    [InlineData("198.18.0.1")]
    [InlineData("::1")]
    [InlineData("fd12:3456::1")]
    [InlineData("fc00::1")]
    [InlineData("::ffff:10.0.0.1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("64:ff9b::10.0.0.1")]
    public void Private_addresses_are_called_only_when_that_is_allowed(string address)
    {
        Assert.False(OutboundAddress.IsAllowed(IPAddress.Parse(address), allowPrivate: false));
        Assert.True(OutboundAddress.IsAllowed(IPAddress.Parse(address), allowPrivate: true));
    }

    [Theory]
    [InlineData("169.254.169.254")]
    [InlineData("169.254.0.1")]
    [InlineData("fe80::1")]
    [InlineData("fe80::1%3")]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("ff02::1")]
    [InlineData("::ffff:169.254.169.254")]
    [InlineData("::169.254.169.254")]
    [InlineData("64:ff9b::169.254.169.254")]
    [InlineData("64:ff9b:1::1")]
    [InlineData("2002:a9fe:a9fe::1")]
    [InlineData("2002:7f00:1::1")]
    [InlineData("2001:0:a9fe:a9fe::1")]
    [InlineData("fd00:ec2::254")]
    [InlineData("168.63.129.16")]
    [InlineData("192.88.99.1")]
    [InlineData("::ffff:0:127.0.0.1")]
    [InlineData("::ffff:0:8.8.8.8")]
    public void Link_local_addresses_and_what_can_hide_them_are_never_called(string address)
    {
        Assert.False(OutboundAddress.IsAllowed(IPAddress.Parse(address), allowPrivate: false));
        Assert.False(OutboundAddress.IsAllowed(IPAddress.Parse(address), allowPrivate: true));
    }

    [Theory]
    [InlineData("https://example.com/hook?x=1#y")]
    [InlineData("http://example.com:8080")]
    [InlineData("https://8.8.8.8/")]
    [InlineData("https://münchen.example/")]
    public void A_URL_that_leads_out_is_taken(string url) => Assert.Null(OutboundAddress.FaultIn(url, allowPrivate: false));

    /// <summary>Also as the odd spellings that libraries take for an address.</summary>
    [Theory]
    [InlineData("http://127.0.0.1/")]
    [InlineData("http://127.1/")]
    [InlineData("http://2130706433/")]
    [InlineData("http://0x7f.0.0.1/")]
    [InlineData("http://0177.0.0.1/")]
    [InlineData("http://[::1]/")]
    [InlineData("http://[::ffff:127.0.0.1]:5432/")]
    [InlineData("http://localhost/")]
    [InlineData("http://LOCALHOST./")]
    [InlineData("http://a.localhost:1/")]
    [InlineData("http://192.168.0.1/")]
    [InlineData("http://169.254.169.254/latest/meta-data")]
    public void A_URL_that_leads_in_is_refused(string url) => Assert.Contains("no public address", OutboundAddress.FaultIn(url, allowPrivate: false), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("example.com/hook")]
    [InlineData("/hook")]
    [InlineData("ftp://example.com/")]
    [InlineData("file:///etc/passwd")]
    [InlineData("https://user:pass@example.com/")]
    [InlineData("https://user@example.com/")]
    [InlineData("https:///hook")]
    [InlineData("https://exam ple.com/")]
    [InlineData("https://example.com/a\nb")]
    public void What_is_no_plain_URL_is_refused(string url) => Assert.NotNull(OutboundAddress.FaultIn(url, allowPrivate: true));

    [Fact]
    public void A_URL_has_2048_characters_at_most()
    {
        var url = "https://example.com/".PadRight(2_048, 'a');
        Assert.Null(OutboundAddress.FaultIn(url, allowPrivate: false));
        Assert.NotNull(OutboundAddress.FaultIn(url + "a", allowPrivate: false));
    }

    [Fact]
    public async Task A_name_that_nobody_knows_is_let_pass_and_one_of_this_machine_is_not()
    {
        Assert.Null(await OutboundAddress.FaultInNameAsync("https://nobody-knows-this.invalid/", allowPrivate: false, CancellationToken.None));
        Assert.NotNull(await OutboundAddress.FaultInNameAsync("https://localhost/", allowPrivate: false, CancellationToken.None));
    }
}
