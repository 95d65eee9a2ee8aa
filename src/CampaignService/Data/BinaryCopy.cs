using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace CampaignService.Data;

/// <summary>
/// Writes PostgreSQL's binary COPY format into a pooled buffer: the signature comes first by itself, then for each tuple
/// <see cref="StartRow"/> and its fields, last <see cref="End"/>. Flush it to the stream of <c>BeginRawBinaryCopy</c> whenever
/// <see cref="Length"/> reaches <see cref="FlushAt"/>. Nothing here checks that a tuple has the fields it announced: the server does.
/// </summary>
[SuppressMessage("Naming", "CA1720", Justification = "The fields are named by the .NET types they are written from.")]
public sealed class BinaryCopy : IDisposable
{
    /// <summary>Bytes worth a write of their own: fewer cost a call each, more only memory.</summary>
    public const int FlushAt = 128 * 1024;

    private const int TextOid = 25;
    private const int ArrayHead = 20;
    private static readonly long PostgresEpoch = new DateTime(2000, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(2 * FlushAt);

    public BinaryCopy()
    {
        // The last eight bytes are the flags and the length of the header's extension, both 0.
        ReadOnlySpan<byte> header = [.. "PGCOPY\n"u8, 0xFF, .. "\r\n\0"u8, 0, 0, 0, 0, 0, 0, 0, 0];
        header.CopyTo(Reserve(header.Length));
    }

    /// <summary>Bytes written and not flushed yet.</summary>
    public int Length { get; private set; }

    internal ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    /// <summary>Begins a tuple of so many fields.</summary>
    public void StartRow(short columns) => BinaryPrimitives.WriteInt16BigEndian(Reserve(2), columns);

    public void Null() => BinaryPrimitives.WriteInt32BigEndian(Reserve(4), -1);

    public void Int16(short value) => BinaryPrimitives.WriteInt16BigEndian(Field(2), value);

    public void Int32(int value) => BinaryPrimitives.WriteInt32BigEndian(Field(4), value);

    public void Int64(long value) => BinaryPrimitives.WriteInt64BigEndian(Field(8), value);

    /// <summary>A timestamptz, cut to whole microseconds.</summary>
    public void TimestampTz(DateTimeOffset value) =>
        Int64((long)Math.Floor((value.UtcTicks - PostgresEpoch) / (decimal)TimeSpan.TicksPerMicrosecond));

    /// <summary>A field that is in PostgreSQL's binary form already, text among them: text is its UTF-8 bytes.</summary>
    public void Raw(ReadOnlySpan<byte> field) => field.CopyTo(Field(field.Length));

    /// <summary>A text. PostgreSQL refuses one that holds U+0000.</summary>
    public void Text(ReadOnlySpan<char> value) => Encoding.UTF8.GetBytes(value, Field(Encoding.UTF8.GetByteCount(value)));

    /// <summary>A text[]; a null element is NULL.</summary>
    public void TextArray(ReadOnlySpan<string?> values)
    {
        var bytes = 0;
        var hasNull = false;
        foreach (var value in values)
        {
            bytes += 4 + (value is null ? 0 : Encoding.UTF8.GetByteCount(value));
            hasNull |= value is null;
        }

        StartTextArray(values.Length, hasNull, bytes);
        foreach (var value in values)
        {
            if (value is null)
            {
                Null();
            }
            else
            {
                Text(value);
            }
        }
    }

    /// <summary>A text[] whose elements stand ready, each with its length in four bytes before it (-1 = NULL).</summary>
    public void TextArray(int count, bool hasNull, ReadOnlySpan<byte> elements)
    {
        StartTextArray(count, hasNull, elements.Length);
        elements.CopyTo(Reserve(elements.Length));
    }

    /// <summary>The trailer; without it the server takes the copy for cut off.</summary>
    public void End() => StartRow(-1);

    /// <summary>Hands the bytes over and empties the buffer.</summary>
    public async ValueTask FlushToAsync(Stream stream, CancellationToken ct)
    {
        await stream.WriteAsync(_buffer.AsMemory(0, Length), ct);
        Length = 0;
    }

    public void Dispose()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
            Length = 0;
        }
    }

    private void StartTextArray(int count, bool hasNull, int elementBytes)
    {
        // The empty array has no dimension at all: one of length 0 is refused by array_recv.
        var head = Reserve(4 + (count == 0 ? 12 : ArrayHead));
        BinaryPrimitives.WriteInt32BigEndian(head, head.Length - 4 + elementBytes);
        BinaryPrimitives.WriteInt32BigEndian(head[4..], count == 0 ? 0 : 1);
        BinaryPrimitives.WriteInt32BigEndian(head[8..], hasNull ? 1 : 0);
        BinaryPrimitives.WriteInt32BigEndian(head[12..], TextOid);
        if (count > 0)
        {
            BinaryPrimitives.WriteInt32BigEndian(head[16..], count);
            BinaryPrimitives.WriteInt32BigEndian(head[20..], 1);
        }
    }

    private Span<byte> Field(int length)
    {
        var place = Reserve(4 + length);
        BinaryPrimitives.WriteInt32BigEndian(place, length);
        return place[4..];
    }

    private Span<byte> Reserve(int length)
    {
        if (_buffer.Length - Length < length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(2 * _buffer.Length, checked(Length + length)));
            Written.CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        var place = _buffer.AsSpan(Length, length);
        Length += length;
        return place;
    }
}
