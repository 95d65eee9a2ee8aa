using CampaignService.Data;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Data;

public sealed class TextArrayTests
{
    [Fact]
    public void What_is_written_is_read() => Prop.ForAll<string?[]>(values =>
        TextArray.Read(TextArray.Literal(values)).SequenceEqual(values.Take(Array.FindLastIndex(values, v => v is not null) + 1))).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"a"}""", "a")]
    [InlineData("""{NULL,"NULL","a\"b\\c{,}"}""", null, "NULL", "a\"b\\c{,}")]
    [InlineData("""{""}""", "", null)]
    public void It_is_the_literal_that_PostgreSQL_reads(string literal, params string?[] values) => Assert.Equal(literal, TextArray.Literal(values));
}
