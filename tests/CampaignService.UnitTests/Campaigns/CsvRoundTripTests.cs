using System.Text;
using CampaignService.Campaigns;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Campaigns;

public class CsvRoundTripTests
{
    private static readonly string[] Variables = ["a", "b", "c"];

    private static readonly Gen<string> Cell = Gen.Elements(
            "\"", "\"\"", ",", "\r", "\n", "\r\n", " ", "\t", "\u00A0", ";", "|", "'", "=", "x", "Zoë", "e\u0301", "👍🏽", "👩‍👩‍👧", "\uFEFF", "\uFFFD", "\u007F")
        .ListOf().Select(string.Concat);

    [Fact]
    public void Any_table_written_as_RFC_4180_says_comes_back_cell_for_cell() =>
        Prop.ForAll(Tables().ToArbitrary(), table =>
        {
            var file = Encoding.UTF8.GetBytes(Write(table));
            Assert.Equal(Expected(table), Cells(CsvReader.Read(new MemoryStream(file), Variables, 1000)));
            Assert.Equal(Expected(table), Cells(CsvReader.Read(new DribblingStream(file), Variables, 1000)));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_table_larger_than_every_buffer_comes_back_cell_for_cell()
    {
        var rows = Tables().Sample(60, 2000).SelectMany(table => table.Rows).ToArray();
        var table = new Table(rows, QuoteAll: false, "\r\n");
        var file = Encoding.UTF8.GetBytes(Write(table));
        Assert.True(file.Length > 1_000_000, $"{file.Length}");
        Assert.Equal(Expected(table), Cells(CsvReader.Read(new MemoryStream(file), Variables, 1_000_000)));
    }

    private static Gen<Table> Tables() =>
        from rows in Gen.NonEmptyListOf(Cell.ArrayOf(3))
        from quoteAll in Gen.Elements(true, false)
        from lineEnd in Gen.Elements("\n", "\r\n", "\r")
        select new Table([.. rows], quoteAll, lineEnd);

    private static string Write(Table table)
    {
        var text = new StringBuilder("a,b,user_id,c").Append(table.LineEnd);
        for (var i = 0; i < table.Rows.Length; i++)
        {
            var cells = table.Rows[i].Select(cell => Quote(cell, table.QuoteAll)).ToArray();
            text.Append(cells[0]).Append(',').Append(cells[1]).Append(",u").Append(i).Append(',').Append(cells[2]).Append(table.LineEnd);
        }

        return text.ToString();
    }

    private static string Quote(string cell, bool always) => always || cell.AsSpan().ContainsAny("\",\r\n")
        ? $"\"{cell.Replace("\"", "\"\"", StringComparison.Ordinal)}\""
        : cell;

    private static IEnumerable<string?> Expected(Table table) =>
        table.Rows.SelectMany((row, i) => row.Select(cell => cell.Length == 0 ? null : cell).Prepend($"u{i}"));

    private static IEnumerable<string?> Cells(CsvRecipients read) =>
        Enumerable.Range(0, read.Rows.Count).SelectMany(row => read.Rows.Values(row).Prepend(read.Rows.UserId(row)));

    private sealed record Table(string[][] Rows, bool QuoteAll, string LineEnd);
}
