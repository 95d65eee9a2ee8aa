using System.Globalization;
using System.Text;
using CampaignService.Campaigns;

namespace CampaignService.UnitTests.Campaigns;

public class CsvReaderTests
{
    [Fact]
    public void Columns_are_the_variables_in_the_order_of_the_file()
    {
        var read = CsvFile.Read("city,user_id,name\nParis,u1,Ann\nRome,u2,Bob\n");
        Assert.Equal(["city", "name"], read.Columns);
        Assert.Equal(["u1|Paris|Ann", "u2|Rome|Bob"], CsvFile.Rows(read));
        Assert.Equal(0, read.Rejected);
        Assert.Empty(read.Errors);
    }

    [Theory]
    [InlineData("user_id,name\nu1,Ann\nu2,Bob\n")]
    [InlineData("user_id,name\r\nu1,Ann\r\nu2,Bob\r\n")]
    [InlineData("user_id,name\nu1,Ann\r\nu2,Bob")]
    [InlineData("user_id,name\ru1,Ann\ru2,Bob")]
    [InlineData("\uFEFFuser_id,name\nu1,Ann\nu2,Bob\n")]
    [InlineData("\n\r\n\nuser_id,name\n\n\nu1,Ann\r\n\r\n\nu2,Bob\n\n\n")]
    [InlineData("\"user_id\",\"name\"\n\"u1\",\"Ann\"\n\"u2\",\"Bob\"")]
    [InlineData("userId,name\nu1,Ann\nu2,Bob\n")]
    [InlineData(" USER_ID\t,\u00A0Name \nu1,Ann\nu2,Bob\n")]
    public void Line_ends_blank_lines_byte_order_mark_quotes_and_spelling_of_headers_change_nothing(string text) =>
        Assert.Equal(["u1|Ann", "u2|Bob"], CsvFile.Rows(CsvFile.Read(text)));

    [Fact]
    public void A_column_has_the_spelling_of_the_schema() =>
        Assert.Equal(["Last-Name"], CsvFile.Read("user_id,last-name\nu1,x\n").Columns);

    [Fact]
    public void Of_two_variables_that_differ_in_case_the_one_spelled_exactly_so_is_meant()
    {
        var file = new MemoryStream("user_id,Name\nu1,x\n"u8.ToArray());
        Assert.Equal(["Name"], CsvReader.Read(file, ["name", "Name"], 10).Columns);
    }

    [Fact]
    public void A_file_with_user_ids_alone_will_do() => Assert.Equal(["u1", "u2"], CsvFile.Rows(CsvFile.Read("user_id\nu1\nu2")));

    [Fact]
    public void Cells_are_kept_exactly()
    {
        var read = CsvFile.Read("user_id,name,city\nu1,  Ann ,\"a,\"\"b\"\"\r\nc\n\"\nu2,=1+1,\u00A0\nu3,👩‍👩‍👧, \nu4,e\u0301,\u00E9\n");
        Assert.Equal(["u1|  Ann |a,\"b\"\r\nc\n", "u2|=1+1|\u00A0", "u3|👩‍👩‍👧| ", "u4|e\u0301|\u00E9"], CsvFile.Rows(read));
    }

    [Fact]
    public void An_empty_cell_is_absent_quoted_or_not() =>
        Assert.Equal(["u1|-|x", "u2|-|x", "u3|x|-"], CsvFile.Rows(CsvFile.Read("user_id,name,city\nu1,,x\nu2,\"\",x\nu3,x,\n")));

    [Fact]
    public void A_value_of_one_row_does_not_stay_for_the_next() =>
        Assert.Equal(["u1|x", "u2|-"], CsvFile.Rows(CsvFile.Read("user_id,name\nu1,x\nu2,\n")));

    [Fact]
    public void User_ids_lose_surrounding_white_space_and_nothing_else()
    {
        var read = CsvFile.Read("user_id\n \u00A0 Ann Lee\t\u2003\n\"\nu2 \"\nE\u0301\n\u00C9\nANN\nann\n👍🏽\n-0\n'x\n");
        Assert.Equal(["Ann Lee", "u2", "E\u0301", "\u00C9", "ANN", "ann", "👍🏽", "-0", "'x"], CsvFile.Rows(read));
    }

    [Fact]
    public void Duplicates_are_left_in_for_sorting_to_remove()
    {
        var read = CsvFile.Read("user_id,name\nu1,first\nu2,x\n u1 ,second\n");
        Assert.Equal(3, read.Rows.Count);
        Assert.Equal(1, read.Rows.SortAndDeduplicate());
        Assert.Equal(["u1|first", "u2|x"], CsvFile.Rows(read));
    }

    [Theory]
    [InlineData("\"")]
    [InlineData(",")]
    [InlineData("\r")]
    [InlineData("\n")]
    [InlineData("é")]
    [InlineData("👍")]
    public void A_cell_of_exactly_64_KiB_is_taken(string last)
    {
        var cell = new string('x', CsvReader.MaxCellBytes - Encoding.UTF8.GetByteCount(last)) + last;
        var read = CsvFile.Read($"user_id,name\nu1,\"{cell.Replace("\"", "\"\"", StringComparison.Ordinal)}\"\n");
        Assert.Equal(cell, read.Rows.Values(0)[0]);
    }

    [Fact]
    public void A_row_of_the_longest_cells_made_of_quotes_is_taken()
    {
        var cell = "\"" + new string('"', 2 * CsvReader.MaxCellBytes) + "\"";
        var read = CsvFile.Read($"user_id,name,city,last-name\nu1,{cell},{cell},{cell}\nu2,a,b,c");
        Assert.All(read.Rows.Values(0), value => Assert.Equal(new string('"', CsvReader.MaxCellBytes), value));
        Assert.Equal("u2", read.Rows.UserId(1));
    }

    [Fact]
    public void A_hundred_thousand_rows_are_taken_and_one_more_is_refused_with_its_line()
    {
        var text = new StringBuilder("user_id,name\n\n");
        for (var i = 0; i < 100_000; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"u{i % 50_000},x\n\n");
        }

        Assert.Equal(100_000, CsvFile.Read(text.ToString()).Rows.Count);
        var fault = Assert.Single(CsvFile.Faults(text.Append(",rejected\n").ToString()));
        Assert.Equal("file: line 200003: at most 100,000 data rows are allowed. Split the file into several.", fault);
    }

    [Fact]
    public void The_first_pass_stops_when_it_is_cancelled()
    {
        var file = new MemoryStream("user_id\n\"u1\n"u8.ToArray());
        Assert.Throws<OperationCanceledException>(() => CsvReader.Read(file, [], 10, new CancellationToken(canceled: true)));
    }

    [Fact]
    public void The_second_pass_stops_when_it_is_cancelled()
    {
        var text = Encoding.UTF8.GetBytes("user_id\n" + string.Concat(Enumerable.Repeat("u\n", 50_000)));
        using var cancel = new CancellationTokenSource();
        using var file = new ActingStream(text, onSecondPass: cancel.Cancel);
        Assert.Throws<OperationCanceledException>(() => CsvReader.Read(file, [], 100_000, cancel.Token));
    }

    [Fact]
    public void The_file_is_left_open()
    {
        using var file = new MemoryStream("user_id\nu1\n"u8.ToArray());
        CsvFile.Read(file);
        Assert.True(file.CanRead);
    }

    private sealed class ActingStream(byte[] file, Action onSecondPass) : MemoryStream(file)
    {
        private bool _atEnd;

        public override int Read(byte[] buffer, int offset, int count)
        {
            if (_atEnd && Position == 0)
            {
                onSecondPass();
            }

            var read = base.Read(buffer, offset, count);
            _atEnd |= Position == Length;
            return read;
        }
    }
}
