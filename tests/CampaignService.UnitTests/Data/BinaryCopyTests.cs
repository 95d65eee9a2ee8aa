using System.Buffers.Binary;
using CampaignService.Data;
using FsCheck;
using FsCheck.Fluent;
using static CampaignService.UnitTests.Data.BinaryCopyReading;

namespace CampaignService.UnitTests.Data;

public class BinaryCopyTests
{
    [Fact]
    public void Every_kind_of_field_is_written_as_PostgreSQL_reads_it()
    {
        using var copy = new BinaryCopy();
        copy.StartRow(7);
        copy.Int16(-2);
        copy.Int32(int.MinValue);
        copy.Int64(long.MaxValue - 1);
        copy.Null();
        copy.Text("Zoë 👍");
        copy.Raw([1, 2, 3]);
        copy.Raw([]);
        copy.StartRow(0);
        copy.End();

        var tuples = Tuples(copy.Written);
        Assert.Equal(2, tuples.Count);
        Assert.Empty(tuples[1]);
        Assert.Equal(-2, BinaryPrimitives.ReadInt16BigEndian(Exactly(tuples[0][0], 2)));
        Assert.Equal(int.MinValue, BinaryPrimitives.ReadInt32BigEndian(Exactly(tuples[0][1], 4)));
        Assert.Equal(long.MaxValue - 1, Int64(tuples[0][2]));
        Assert.Null(tuples[0][3]);
        Assert.Equal("Zoë 👍", Text(tuples[0][4]));
        Assert.Equal([1, 2, 3], tuples[0][5]!);
        Assert.Equal([], tuples[0][6]!);
    }

    [Theory]
    [InlineData("2000-01-01T00:00:00Z", 0)]
    [InlineData("2000-01-01T01:00:00.000001+01:00", 1)]
    [InlineData("1999-12-31T23:59:59.9999995Z", -1)]
    [InlineData("2026-11-21T12:00:00Z", 848_577_600_000_000)]
    public void A_time_is_microseconds_since_2000(string time, long microseconds)
    {
        using var copy = new BinaryCopy();
        copy.StartRow(1);
        copy.TimestampTz(DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture));
        copy.End();
        Assert.Equal(microseconds, Int64(Tuples(copy.Written)[0][0]));
    }

    [Fact]
    public void Any_text_array_comes_back() =>
        Prop.ForAll(Gen.Elements(null, "", "x", "NULL", "{\"}", "Zoë 👍").ArrayOf().ToArbitrary(), values =>
        {
            using var copy = new BinaryCopy();
            copy.StartRow(1);
            copy.TextArray(values);
            copy.End();
            Assert.Equal(values, TextArray(Tuples(copy.Written)[0][0]));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task What_was_flushed_in_pieces_is_the_whole_copy()
    {
        using var stream = new MemoryStream();
        using var copy = new BinaryCopy();
        var large = new string('x', 700_000);
        for (var i = 0; i < 10; i++)
        {
            copy.StartRow(2);
            copy.Int64(i);
            copy.Text(large);
            if (i % 3 == 0)
            {
                await copy.FlushToAsync(stream, CancellationToken.None);
                Assert.Equal(0, copy.Length);
            }
        }

        copy.End();
        await copy.FlushToAsync(stream, CancellationToken.None);
        var tuples = Tuples(stream.ToArray());
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (long)i), tuples.Select(tuple => Int64(tuple[0])));
        Assert.All(tuples, tuple => Assert.Equal(large, Text(tuple[1])));
    }
}
