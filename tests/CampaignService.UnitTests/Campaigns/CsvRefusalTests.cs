using System.Text;
using CampaignService.Campaigns;

namespace CampaignService.UnitTests.Campaigns;

public class CsvRefusalTests
{
    [Theory]
    [InlineData("")]
    [InlineData("\uFEFF")]
    [InlineData("\n\r\n\n")]
    [InlineData("\uFEFF\r\n")]
    public void A_file_with_nothing_in_it_is_refused(string text) => Refused(text, "there is nothing in it");

    [Theory]
    [InlineData("user_id")]
    [InlineData("user_id,name\r\n\r\n")]
    public void A_file_with_headers_alone_is_refused(string text) => Refused(text, "headers but no data row");

    [Fact]
    public void A_file_without_a_user_id_column_is_refused() =>
        Refused("name,city\nAnn,Paris\n", "line 1: there is no user_id column");

    [Theory]
    [InlineData("first name", "\"first name\"")]
    [InlineData("name!", "\"name!\"")]
    [InlineData("näme", "\"näme\"")]
    [InlineData("na\u200Bme", "\"na\\u200Bme\"")]
    [InlineData("\"na\nme\"", "\"na\\u000Ame\"")]
    public void A_header_with_other_characters_is_refused(string header, string shown) => Refused(
        $"user_id,{header}\nu1,x\n", $"line 1, column 2: the header {shown} may hold only letters", "user_id, name, city, Last-Name");

    [Fact]
    public void A_long_header_is_shown_shortened() => Refused($"user_id,{new string('é', 500)}\nu1,x\n", "\"" + new string('é', 40) + "…\"");

    [Theory]
    [InlineData("user_id,name,\nu1,x,\n", "column 3")]
    [InlineData("user_id, \u00A0,name\nu1,x,\n", "column 2")]
    [InlineData("user_id,\"\"\nu1,x\n", "column 2")]
    public void An_empty_header_is_refused(string text, string column) => Refused(text, $"line 1, {column}: the header is empty");

    [Theory]
    [InlineData("user_id,name,NAME\nu1,x,y\n", "column 3: the header \"NAME\" repeats that of column 2")]
    [InlineData("user_id,name,userId\nu1,x,y\n", "column 3: the header \"userId\" repeats that of column 1")]
    [InlineData("userid,name, USER_ID\nu1,x,y\n", "column 3: the header \"USER_ID\" repeats that of column 1")]
    [InlineData("user_id,last-name,name, Last-Name \nu1,x,y,z\n", "column 4: the header \"Last-Name\" repeats that of column 2")]
    public void A_duplicate_header_is_refused(string text, string expected) => Refused(text, expected);

    [Fact]
    public void An_unknown_header_is_refused_and_the_allowed_ones_named() => Refused(
        "\nuser_id,emial\nu1,x\n", "line 2, column 2: \"emial\" is not a variable of the template", "user_id, name, city, Last-Name.");

    [Fact]
    public void Every_fault_of_the_headers_is_told_at_once()
    {
        var faults = CsvFile.Faults("name,,na me,emial,EMIAL,Name\n1,2,3,4,5,6\n");
        Assert.Equal(6, faults.Count);
        Assert.Contains("column 2: the header is empty", faults[0], StringComparison.Ordinal);
        Assert.Contains("column 3: the header \"na me\" may hold", faults[1], StringComparison.Ordinal);
        Assert.Contains("column 4: \"emial\" is not", faults[2], StringComparison.Ordinal);
        Assert.Contains("column 5: the header \"EMIAL\" repeats", faults[3], StringComparison.Ordinal);
        Assert.Contains("column 6: the header \"Name\" repeats", faults[4], StringComparison.Ordinal);
        Assert.Contains("no user_id column", faults[5], StringComparison.Ordinal);
    }

    [Fact]
    public void Of_very_many_faults_the_first_twenty_are_told()
    {
        var faults = CsvFile.Faults("user_id" + new string(',', 500) + "\nu1\n");
        Assert.Equal(21, faults.Count);
        Assert.Equal("file: and 480 faults more.", faults[^1]);
    }

    [Theory]
    [InlineData("user_id;name\nu1;x\n", "semicolons")]
    [InlineData("\uFEFF\n\"user_id\";\"name\"\n\"u1\";\"x\"\n", "semicolons")]
    [InlineData("name\tuser_id\tcity\nx\tu1\ty\n", "tabs")]
    [InlineData("user_id | name\nu1|x\n", "pipes")]
    [InlineData("id;name\nu1;x\n", "semicolons")]
    [InlineData("user_id;name;a,b\nu1;x;1,5\n", "semicolons")]
    public void Another_delimiter_is_named(string text, string delimiter) => Refused(text, $"parted by {delimiter}, not by commas");

    [Fact]
    public void Semicolons_in_cells_are_only_text() =>
        Assert.Equal(["u1|a;b|c\td"], CsvFile.Rows(CsvFile.Read("user_id,name,city\nu1,a;b,c\td\n")));

    [Fact]
    public void A_German_Excel_file_is_told_both_its_delimiter_and_its_encoding()
    {
        var faults = CsvFile.Faults(Encoding.Latin1.GetBytes("user_id;name\nu1;\"Zoë\"\n"));
        Assert.Equal(2, faults.Count);
        Assert.Contains("semicolons", faults[0], StringComparison.Ordinal);
        Assert.Contains("line 2, column 1: the text is not UTF-8", faults[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("user_id,name\nu1,x\nu2,\"a\nZoë\"\n", "line 4, column 2: the text is not UTF-8. The byte 0xEB looks like Latin-1", "\"ë\"")]
    [InlineData("user_id,name\nu1,x\nu2,Zo\u00EB", "line 3, column 2: the text is not UTF-8")]
    [InlineData("user_id,name\nu1,\u0093x\u0094\n", "line 2, column 2: the text is not UTF-8. The byte 0x93 looks like")]
    [InlineData("user_id,name\nu1,\u00C0\u0080\n", "line 2, column 2: the text is not UTF-8")]
    [InlineData("user_id,name\nu1,\u00ED\u00A0\u0080\n", "line 2, column 2: the text is not UTF-8")]
    public void Other_encodings_than_UTF_8_are_refused_with_the_place(string latin, params string[] expected) =>
        Refused(Encoding.Latin1.GetBytes(latin), expected);

    [Fact]
    public void A_bad_byte_is_found_wherever_it_stands_and_good_ones_are_taken_wherever_blocks_end()
    {
        for (var length = 131_040; length < 131_080; length++)
        {
            var good = "user_id,name\n" + string.Concat(Enumerable.Repeat("u,123456789\n", length / 12)) + new string('u', 1 + length % 12) + ",";
            CsvFile.Read(good + "👍\n");
            Refused([.. Encoding.UTF8.GetBytes(good), 0xF0, 0x9F, 0x91], $"line {2 + length / 12}, column 2: the text is not UTF-8");
            Refused([.. Encoding.UTF8.GetBytes(good), 0xF0, 0x9F, 0x91, (byte)'\n'], $"line {2 + length / 12}, column 2: the text is not UTF-8");
        }
    }

    [Theory]
    [InlineData("utf-16", "UTF-16 LE")]
    [InlineData("utf-16BE", "UTF-16 BE")]
    [InlineData("utf-32", "UTF-32 LE")]
    [InlineData("utf-32BE", "UTF-32 BE")]
    public void UTF_16_and_UTF_32_are_recognised_with_and_without_byte_order_mark(string encodingName, string expected)
    {
        var encoding = Encoding.GetEncoding(encodingName);
        var text = encoding.GetBytes("user_id,name\nu1,x\n");
        Refused(text, $"the text is {expected}, not UTF-8");
        Refused([.. encoding.GetPreamble(), .. text], $"the text is {expected}, not UTF-8");
    }

    [Theory]
    [InlineData("PK\u0003\u0004rest", "an Excel workbook (.xlsx)", "CSV UTF-8")]
    [InlineData("\u00D0\u00CF\u0011\u00E0\u00A1\u00B1", "an old Excel workbook")]
    [InlineData("%PDF-1.7", "a PDF document")]
    [InlineData("\u0089PNG\r\n\u001A\n", "a PNG picture")]
    [InlineData("\u00FF\u00D8\u00FF\u00E0", "a JPEG picture")]
    [InlineData("\u001F\u008B\u0008", "a gzip file")]
    public void A_file_of_another_kind_is_named(string latin, params string[] expected) => Refused(Encoding.Latin1.GetBytes(latin), expected);

    [Fact]
    public void NUL_is_refused_with_its_place() => Refused("user_id,name\nu1,x\nu2,a\0b\n", "line 3, column 2: there is a NUL byte");

    [Theory]
    [InlineData("user_id,name\nu1,x\nu2,a\"b\nu3,x\n", "line 3, column 2: a quote stands in a cell that does not begin with one")]
    [InlineData("user_id,name\r\nu1,\"x\r\ny\"\r\nu2,a\"b\r\n", "line 4, column 2: a quote stands in a cell")]
    [InlineData("user_id,name\ru1,\"x\r\ry\"\r\n\nu2,a\"b", "line 6, column 2: a quote stands in a cell")]
    [InlineData("user_id,name\nu1, \"x\"\n", "line 2, column 2: a quote stands in a cell")]
    [InlineData("user_id,name\nu1,x\"", "line 2, column 2: a quote stands in a cell")]
    [InlineData("user_id,name\nu1,\"a\nb\" \n", "line 3, column 2: text follows the closing quote of the cell that begins on line 2")]
    [InlineData("user_id,name\nu1,\"a\"b\n", "line 2, column 2: text follows the closing quote")]
    [InlineData("user_id,name\nu1,\"a\nu2,\"b\"\n", "line 3, column 2: text follows the closing quote of the cell that begins on line 2")]
    [InlineData("user_id,\"na\"me\nu1,a\n", "line 1, column 2: text follows the closing quote")]
    public void A_quote_out_of_place_is_refused_with_its_place(string text, string expected)
    {
        Refused(text, expected);
        Assert.Contains(expected, Assert.Single(CsvFile.Faults(new DribblingStream(Encoding.UTF8.GetBytes(text)))), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("user_id,name\nu1,x\n\"u2,x\nu3,x\n", "line 3, column 1")]
    [InlineData("user_id,name\nu1,\"", "line 2, column 2")]
    [InlineData("user_id,name\nu1,\"\"\"\n\n", "line 2, column 2")]
    [InlineData("user_id,\"name\nu1,x", "line 1, column 2")]
    public void A_quote_left_open_is_refused_with_the_place_where_it_was_opened(string text, string place) =>
        Refused(text, $"{place}: the quote opened here is never closed");

    [Fact]
    public void Quotes_are_judged_rightly_wherever_blocks_end()
    {
        for (var length = 131_050; length < 131_080; length++)
        {
            var filler = string.Concat(Enumerable.Repeat("u,123456789\n", length / 12)) + new string('u', 1 + length % 12);
            var read = CsvFile.Read($"user_id,name\n{filler},\"\"\"a\"\",\"\"\"\"\"\nu,\"b\"");
            Assert.Equal("\"a\",\"\"", read.Rows.Values(read.Rows.Count - 2)[0]);
            Refused($"user_id,name\n{filler},\"\"a\"\n", "text follows the closing quote");
            Refused($"user_id,name\n{filler},a\"\n", "a quote stands in a cell");
        }
    }

    [Theory]
    [InlineData("x", 65_537)]
    [InlineData("é", 32_769)]
    [InlineData("👍", 16_385)]
    [InlineData("\"\"", 65_537)]
    public void A_cell_over_64_KiB_is_refused_with_its_place(string character, int times)
    {
        var cell = string.Concat(Enumerable.Repeat(character, times));
        Refused($"user_id,name,city\nu1,x,y\nu2,\"a\n\",\"{cell}\"\n", "line 4, column 3: the cell is longer than 64 KiB");
        Refused($"user_id,name,city\nu1,x,y\n\"{cell}\",x,y\n", "line 3, column 1: the cell is longer than 64 KiB");
        Refused($"user_id,name,city\nu1,x,y\nu2,x,y,z,\"{cell}\"\n", "line 3, column 5: the cell is longer than 64 KiB");
    }

    [Theory]
    [InlineData("user_id,name\nu1,\"", 'x', "", "line 2, column 2: the quote opened here is never closed")]
    [InlineData("user_id,name\nu1,\"", '\n', "", "line 2, column 2: the quote opened here is never closed")]
    [InlineData("user_id,name\nu1,\"", '\n', "\"\n", "line 2, column 2: the cell is longer than 64 KiB")]
    [InlineData("user_id,name\nu1,", 'x', "\n", "line 2, column 2: the cell is longer than 64 KiB")]
    [InlineData("user_id,name\nu1,x\nu2", ',', "\n", "line 3: the row has more than 16,384 cells")]
    [InlineData("user_id", ',', "\n", "line 1: the row has more than 16,384 cells")]
    [InlineData("", '\n', "", "there is nothing in it", 6_000_000)]
    [InlineData("user_id,name\n", '\n', "", "headers but no data row", 6_000_000)]
    [InlineData("user_id,name\n", '\n', ",\"", "column 2: the quote opened here is never closed", 6_000_000)]
    public void No_large_file_is_held_in_memory(string beginning, char filler, string end, string expected, long size = 60_000_000)
    {
        using var file = new RepeatingStream(beginning, filler, size, end);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains(expected, Assert.Single(CsvFile.Faults(file)), StringComparison.Ordinal);
        // All that was allocated on the way, not what was held at one moment, which is less.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16_000_000);
    }

    [Fact]
    public void A_row_of_too_many_cells_is_refused_wherever_blocks_end()
    {
        for (var lines = 0; lines < 130_000; lines += 5_001)
        {
            var start = "user_id\n" + new string('\n', lines);
            Refused(start + new string(',', 16_384) + "\nu1", $"line {lines + 2}: the row has more than 16,384 cells");
            Refused(start + string.Concat(Enumerable.Repeat("\"\",", 16_384)) + "\nu1", $"line {lines + 2}: the row has more than 16,384 cells");
            Assert.Equal("too_many_fields", Assert.Single(CsvFile.Read(start + new string(',', 16_383) + "\nu1").Errors).Code);
        }
    }

    [Theory]
    [InlineData(",")]
    [InlineData("\"\",")]
    [InlineData("\"a,b\nc\",")]
    public void Cells_are_counted_across_blocks(string cell)
    {
        var structure = new CsvStructure(0);
        var block = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(cell, 1024)));
        Assert.All(Enumerable.Range(0, 15), _ => Assert.True(structure.Read(block)));
        Assert.False(structure.Read(block));
    }

    [Fact]
    public void A_row_longer_than_its_columns_can_be_is_refused()
    {
        var row = string.Concat(Enumerable.Repeat(new string('x', 60_000) + ",", 200));
        Refused($"user_id,name\nu1,x\n{row}\n", "line 3: the row is longer than its columns can be");
    }

    private static void Refused(string text, params string[] expected) => Refused(Encoding.UTF8.GetBytes(text), expected);

    private static void Refused(byte[] file, params string[] expected)
    {
        var fault = Assert.Single(CsvFile.Faults(file));
        Assert.All(expected, part => Assert.Contains(part, fault, StringComparison.Ordinal));
    }
}
