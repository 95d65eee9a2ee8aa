using System.Buffers.Binary;
using System.Text;

namespace CampaignService.Data;

/// <summary>Looks into a <c>text[]</c> in PostgreSQL's binary form, as <c>array_send</c> gives it, without taking it apart.</summary>
public static class BinaryTextArray
{
    // dimensions, has-null flag, element type; then for the one dimension its length and lower bound.
    private const int LengthAt = 12, ElementsAt = 20;

    public static int Count(ReadOnlySpan<byte> array) =>
        BinaryPrimitives.ReadInt32BigEndian(array) == 0 ? 0 : BinaryPrimitives.ReadInt32BigEndian(array[LengthAt..]);

    /// <summary>Whether there is no value at this position: null, or beyond the end.</summary>
    public static bool IsNull(ReadOnlySpan<byte> array, int position)
    {
        if (position >= Count(array)) return true;
        var rest = array[ElementsAt..];
        for (var i = 0; ; i++)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(rest);
            if (i == position) return length < 0;
            rest = rest[(4 + Math.Max(length, 0))..];
        }
    }

    public static string?[] Read(ReadOnlySpan<byte> array)
    {
        var values = new string?[Count(array)];
        if (values.Length == 0) return values;
        var rest = array[ElementsAt..];
        for (var i = 0; i < values.Length; i++)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(rest);
            if (length >= 0) values[i] = Encoding.UTF8.GetString(rest.Slice(4, length));
            rest = rest[(4 + Math.Max(length, 0))..];
        }
        return values;
    }
}
