using System.Buffers.Binary;
using System.Text;

namespace CampaignService.UnitTests.Data;

/// <summary>Reads PostgreSQL's binary COPY format, as its manual describes it.</summary>
internal static class BinaryCopyReading
{
    /// <summary>The fields of every tuple; the trailer must be there and nothing after it.</summary>
    public static List<byte[]?[]> Tuples(ReadOnlySpan<byte> copy)
    {
        byte[] header = [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00, 0, 0, 0, 0, 0, 0, 0, 0];
        Assert.Equal(header, copy[..19]);
        copy = copy[19..];
        var tuples = new List<byte[]?[]>();
        while (true)
        {
            var columns = BinaryPrimitives.ReadInt16BigEndian(copy);
            copy = copy[2..];
            if (columns == -1)
            {
                Assert.Equal(0, copy.Length);
                return tuples;
            }

            var tuple = new byte[]?[columns];
            for (var i = 0; i < columns; i++)
            {
                tuple[i] = Field(ref copy);
            }

            tuples.Add(tuple);
        }
    }

    public static string Text(byte[]? field) => Encoding.UTF8.GetString(field!);

    public static long Int64(byte[]? field) => BinaryPrimitives.ReadInt64BigEndian(Exactly(field, 8));

    public static string?[] TextArray(byte[]? field)
    {
        ReadOnlySpan<byte> rest = field!;
        var dimensions = TakeInt32(ref rest);
        var hasNull = TakeInt32(ref rest);
        Assert.Equal(25, TakeInt32(ref rest));
        if (dimensions == 0)
        {
            Assert.Equal((0, 0), (hasNull, rest.Length));
            return [];
        }

        Assert.Equal(1, dimensions);
        var elements = new string?[TakeInt32(ref rest)];
        Assert.NotEmpty(elements);
        Assert.Equal(1, TakeInt32(ref rest));
        for (var i = 0; i < elements.Length; i++)
        {
            var element = Field(ref rest);
            elements[i] = element is null ? null : Text(element);
        }

        Assert.Equal(0, rest.Length);
        Assert.Equal(elements.Contains(null) ? 1 : 0, hasNull);
        return elements;
    }

    public static byte[] Exactly(byte[]? field, int length)
    {
        Assert.Equal(length, field!.Length);
        return field;
    }

    private static byte[]? Field(ref ReadOnlySpan<byte> rest)
    {
        var length = TakeInt32(ref rest);
        if (length == -1)
        {
            return null;
        }

        var field = rest[..length].ToArray();
        rest = rest[length..];
        return field;
    }

    private static int TakeInt32(ref ReadOnlySpan<byte> rest)
    {
        var value = BinaryPrimitives.ReadInt32BigEndian(rest);
        rest = rest[4..];
        return value;
    }
}
