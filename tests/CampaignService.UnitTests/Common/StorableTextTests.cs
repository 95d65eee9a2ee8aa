using CampaignService.Common;

namespace CampaignService.UnitTests.Common;

public class StorableTextTests
{
    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("a\0b\0", "ab")]
    [InlineData("", "")]
    public void What_cannot_be_stored_is_left_out(string text, string kept) => Assert.Equal(kept, Text.Storable(text, 100));

    [Fact]
    public void Half_a_character_is_replaced() => Assert.Equal("half \ufffd of one", Text.Storable("half \ud83d of one", 100));

    [Fact]
    public void It_is_cut_between_characters() => Assert.Equal("a\U0001F600\U0001F601", Text.Storable("\0a\U0001F600\U0001F601\U0001F602", 3));
}
