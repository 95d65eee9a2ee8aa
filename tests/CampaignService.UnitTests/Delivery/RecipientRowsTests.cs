using System.Text;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.UnitTests.Data;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Delivery;

public class RecipientRowsTests
{
    private static readonly Gen<string> UserId = Gen.Elements(
            "a", "A", "b", "user-", "0000", "1", "\u0001", "\u007F", "é", "e\u0301", "\uE000", "\uFF5E", "\uFFFD", "👍", "\U0010FFFF", " ")
        .NonEmptyListOf().Select(string.Concat);

    [Fact]
    public void Rows_are_sorted_by_the_bytes_of_their_ids_and_the_first_of_equal_ones_is_kept() =>
        Prop.ForAll(UserId.ListOf().ToArbitrary(), ids =>
        {
            var rows = new RecipientRows(["n"]);
            for (var i = 0; i < ids.Count; i++)
            {
                rows.Add(ids[i], [$"{i}"]);
            }

            var expected = ids.Select((id, i) => (Id: id, First: $"{i}")).DistinctBy(row => row.Id)
                .OrderBy(row => Convert.ToHexString(Encoding.UTF8.GetBytes(row.Id)), StringComparer.Ordinal).ToList();
            Assert.Equal(ids.Count - expected.Count, rows.SortAndDeduplicate());
            Assert.Equal(expected.Count, rows.Count);
            Assert.Equal(expected, Enumerable.Range(0, rows.Count).Select(row => (rows.UserId(row), rows.Values(row)[0]!)));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Emoji_come_after_the_characters_that_NET_sorts_behind_them()
    {
        var rows = Filled("👍", "\uFF5E", "z");
        rows.SortAndDeduplicate();
        Assert.Equal(["z", "\uFF5E", "👍"], Ids(rows));
    }

    [Theory]
    [InlineData("user-0000", 8)]
    [InlineData("", 6)]
    [InlineData("a common beginning of many more than eight bytes ", 6)]
    public void Many_ids_with_a_common_beginning_and_one_without_are_sorted(string prefix, int digits)
    {
        var random = new Random(1);
        var ids = Enumerable.Range(0, 30_000)
            .Select(_ => prefix + random.Next(20_000).ToString($"D{digits}", System.Globalization.CultureInfo.InvariantCulture))
            .Append("admin").ToArray();
        var rows = Filled(ids);
        var distinct = ids.Distinct().Order(StringComparer.Ordinal).ToArray();
        Assert.Equal(ids.Length - distinct.Length, rows.SortAndDeduplicate());
        Assert.Equal(distinct, Ids(rows));
    }

    [Fact]
    public void Sorting_no_row_one_row_and_the_same_row_again_and_again_works()
    {
        Assert.Equal(0, Filled().SortAndDeduplicate());
        Assert.Equal(0, Filled("a").SortAndDeduplicate());
        var rows = Filled([.. Enumerable.Repeat("the same id, longer than a key", 1000)]);
        Assert.Equal(999, rows.SortAndDeduplicate());
        Assert.Equal(0, rows.SortAndDeduplicate());
        Assert.Equal(["the same id, longer than a key"], Ids(rows));
    }

    [Fact]
    public void Rows_are_kept_whole_however_long_they_are()
    {
        var rows = new RecipientRows(["a", "b"]);
        var expected = new List<string?>();
        var random = new Random(1);
        for (var i = 0; i < 200; i++)
        {
            string?[] values = [new string((char)random.Next(0x20, 0x800), random.Next(60_000)), i % 3 == 0 ? null : new string('€', 10)];
            rows.Add($"u{i}", values);
            expected.AddRange(values);
        }

        string?[] huge = [new string('x', 3_000_000), "y"];
        rows.Add("huge", huge);
        rows.Add("after", huge.AsSpan(1));
        Assert.Equal([.. expected, .. huge, "y", null], Enumerable.Range(0, rows.Count).SelectMany(rows.Values));
    }

    [Theory]
    [InlineData(new[] { 0, 1, 2 }, 3)]
    [InlineData(new[] { 0, 1, 2 }, 5)]
    [InlineData(new[] { 2, 0, 1 }, 3)]
    [InlineData(new[] { 4, 1, 6 }, 8)]
    [InlineData(new[] { 0, 5, 99 }, 100)]
    public void A_row_comes_back_from_the_database_with_each_value_at_its_place(int[] positions, int width) =>
        Prop.ForAll(Gen.Elements(null, "", "x", "Zoë 👍").ArrayOf(3).ArrayOf().ToArbitrary(), table =>
        {
            var rows = new RecipientRows(["a", "b", "c"]);
            using var copy = new BinaryCopy();
            for (var i = 0; i < table.Length; i++)
            {
                rows.Add($"u{i}", table[i]);
                rows.WriteTo(copy, i, 1L << 40, positions, width);
            }

            copy.End();
            var tuples = BinaryCopyReading.Tuples(copy.Written);
            Assert.Equal(table.Length, tuples.Count);
            for (var i = 0; i < table.Length; i++)
            {
                Assert.Equal(3, tuples[i].Length);
                Assert.Equal(1L << 40, BinaryCopyReading.Int64(tuples[i][0]));
                Assert.Equal($"u{i}", BinaryCopyReading.Text(tuples[i][1]));
                Assert.Equal(Moved(table[i], positions, width), BinaryCopyReading.TextArray(tuples[i][2]));
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task All_rows_are_written_in_pieces_and_in_order()
    {
        var rows = Filled([.. Enumerable.Range(0, 20_000).Select(i => $"user-{i * 7919 % 20_000:D5}")]);
        rows.SortAndDeduplicate();
        using var stream = new PieceStream();
        using var copy = new BinaryCopy();
        await rows.WriteAllAsync(copy, stream, 7, [], 0, CancellationToken.None);
        Assert.Equal(0, copy.Length);
        Assert.InRange(stream.LargestPiece, BinaryCopy.FlushAt, BinaryCopy.FlushAt + 100);
        Assert.Equal(Enumerable.Range(0, 20_000).Select(i => $"user-{i:D5}"),
            BinaryCopyReading.Tuples(stream.ToArray()).Select(tuple => BinaryCopyReading.Text(tuple[1])));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0")]
    public void An_id_that_sorting_could_not_rely_on_is_refused(string id) =>
        Assert.Throws<ArgumentException>(() => Filled(id));

    [Fact]
    public void More_values_than_columns_are_refused() =>
        Assert.Throws<ArgumentException>(() => new RecipientRows(["a"]).Add("u", ["x", "y"]));

    private static RecipientRows Filled(params string[] ids)
    {
        var rows = new RecipientRows([]);
        foreach (var id in ids)
        {
            rows.Add(id, []);
        }

        return rows;
    }

    private static IEnumerable<string> Ids(RecipientRows rows) => Enumerable.Range(0, rows.Count).Select(rows.UserId);

    private static IEnumerable<string?> Moved(string?[] values, int[] positions, int width)
    {
        var moved = new string?[width];
        for (var i = 0; i < values.Length; i++)
        {
            moved[positions[i]] = values[i];
        }

        return moved.Take(Array.FindLastIndex(moved, value => value is not null) + 1);
    }

    private sealed class PieceStream : MemoryStream
    {
        public int LargestPiece { get; private set; }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            LargestPiece = Math.Max(LargestPiece, buffer.Length);
            return base.WriteAsync(buffer, cancellationToken);
        }
    }
}
