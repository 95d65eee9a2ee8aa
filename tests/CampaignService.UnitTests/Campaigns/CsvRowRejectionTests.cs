using System.Text;

namespace CampaignService.UnitTests.Campaigns;

public class CsvRowRejectionTests
{
    [Theory]
    [InlineData("", "blank_user_id")]
    [InlineData("\"\"", "blank_user_id")]
    [InlineData(" \u00A0\t", "blank_user_id")]
    [InlineData("\" \n \"", "blank_user_id")]
    public void A_blank_user_id_rejects_its_row_alone(string cell, string code)
    {
        var read = CsvFile.Read($"name,user_id\nAnn,u1\nBob,{cell}\nEve,u3\n");
        Assert.Equal(["u1|Ann", "u3|Eve"], CsvFile.Rows(read));
        Assert.Equal(1, read.Rejected);
        var error = Assert.Single(read.Errors);
        Assert.Equal((3, "user_id", code), (error.Line, error.Column, error.Code));
        Assert.Equal("The user id is blank.", error.Message);
    }

    [Theory]
    [InlineData("u")]
    [InlineData("é")]
    [InlineData("👍")]
    [InlineData("\u0301")]
    public void A_user_id_may_have_255_code_points_and_not_256(string character)
    {
        var longest = string.Concat(Enumerable.Repeat(character, 255));
        var read = CsvFile.Read($"userId\n \u00A0{longest} \n{longest}{character}\nu3\n");
        Assert.Equal([longest, "u3"], CsvFile.Rows(read));
        var error = Assert.Single(read.Errors);
        Assert.Equal((3, "userId", "user_id_too_long"), (error.Line, error.Column, error.Code));
    }

    [Fact]
    public void A_user_id_that_begins_with_a_control_character_rejects_its_row_alone()
    {
        var read = CsvFile.Read("user_id\n\u0001u1\nu\u00012\n \u001fu3\n");
        Assert.Equal(["u\u00012"], CsvFile.Rows(read));
        Assert.Equal([(2, "bad_user_id"), (4, "bad_user_id")], read.Errors.Select(error => (error.Line, error.Code)));
    }

    [Fact]
    public void Too_few_and_too_many_fields_reject_their_rows_alone()
    {
        var read = CsvFile.Read("user_id,name,city\nu1,a,b\nu2,a\nu3,a,b,c\nu4,a,b,\nu5\n   \nu6,,\n");
        Assert.Equal(["u1|a|b", "u6|-|-"], CsvFile.Rows(read));
        Assert.Equal(5, read.Rejected);
        Assert.Equal([(3, "too_few_fields"), (4, "too_many_fields"), (5, "too_many_fields"), (6, "too_few_fields"), (7, "too_few_fields")],
            read.Errors.Select(error => (error.Line, error.Code)));
        Assert.All(read.Errors, error => Assert.Null(error.Column));
        Assert.StartsWith("The row has 2 cells, the header has 3.", read.Errors[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_line_is_the_one_on_which_the_row_begins()
    {
        var read = CsvFile.Read("\r\nuser_id,\"name\"\r\n\r\nu1,\"a\r\nb\nc\rd\"\r\n\n,\"x\n\ny\"\r\n,z\r,z\n");
        Assert.Equal([9, 12, 13], read.Errors.Select(error => error.Line));
        Assert.Equal(["u1|a\r\nb\nc\rd"], CsvFile.Rows(read));
    }

    [Fact]
    public void Two_quotes_alone_on_a_line_are_a_row_and_not_a_blank_line()
    {
        var read = CsvFile.Read("user_id\n\"\"\n\r\nu1\n\"\"");
        Assert.Equal([2, 5], read.Errors.Select(error => error.Line));
    }

    [Fact]
    public void Lines_are_right_across_the_borders_of_buffers()
    {
        var text = new StringBuilder("user_id,name\r\n");
        var expected = new List<int>();
        var line = 2;
        for (var i = 0; i < 20_000; i++)
        {
            text.Append(i % 300 == 0 ? "," : "u,").Append("\"a\r\n").Append('b', i % 11).Append("\"\r\n");
            if (i % 300 == 0)
            {
                expected.Add(line);
            }

            line += 2;
        }

        Assert.Equal(expected, CsvFile.Read(text.ToString()).Errors.Select(error => error.Line));
    }

    [Fact]
    public void All_rejected_rows_are_counted_and_the_first_hundred_described()
    {
        var read = CsvFile.Read("user_id,name\n" + string.Concat(Enumerable.Repeat(",x\n", 250)));
        Assert.Equal((250, 100, 0), (read.Rejected, read.Errors.Count, read.Rows.Count));
        Assert.Equal(101, read.Errors[^1].Line);
    }
}
