using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using CampaignService.Data;

namespace CampaignService.Delivery;

/// <summary>
/// Recipients on their way into a batch, packed: UTF-8 in slabs and one number a row, about 60 bytes for an id and three short
/// values. Values are kept as they will stand in the database, each with its length in four bytes before it, so that writing
/// a row is a copy of its bytes. Add all rows, <see cref="SortAndDeduplicate"/>, write. For one thread.
/// </summary>
/// <param name="columns">The variables that the values of a row belong to, in their order.</param>
/// <param name="capacity">How many rows are expected; more are taken.</param>
public sealed class RecipientRows(IReadOnlyList<string> columns, int capacity = 0)
{
    private const int SlabSize = 1 << 20;
    private const int HeadSize = 12;

    private readonly List<byte[]> _slabs = [];
    private long[] _places = new long[Math.Max(capacity, 16)];
    private int _used;
    private byte[] _scratch = [];

    public IReadOnlyList<string> Columns { get; } = columns;

    public int Count { get; private set; }

    /// <summary>Adds a row.</summary>
    /// <param name="userId">Not empty, without U+0000 (no text of PostgreSQL holds one, and sorting relies on it).</param>
    /// <param name="values">A value for each column, null = not given; those left out at the end are not given either.</param>
    public void Add(ReadOnlySpan<char> userId, ReadOnlySpan<string?> values)
    {
        if (userId.IsEmpty || userId.Contains('\0') || values.Length > Columns.Count)
        {
            throw new ArgumentException("A row needs a user id without U+0000 and at most a value for each column.");
        }

        while (!values.IsEmpty && values[^1] is null)
        {
            values = values[..^1];
        }

        var row = Place(userId, values);
        var at = HeadSize;
        at += Encoding.UTF8.GetBytes(userId, row[at..]);
        var head = new Head { IdBytes = at - HeadSize, Elements = (ushort)values.Length };
        foreach (var value in values)
        {
            var length = value is null ? -1 : Encoding.UTF8.GetBytes(value, row[(at + 4)..]);
            BinaryPrimitives.WriteInt32BigEndian(row[at..], length);
            at += 4 + Math.Max(length, 0);
            head.HasNull |= length < 0;
        }

        head.ElementBytes = at - HeadSize - head.IdBytes;
        MemoryMarshal.Write(row, head);
        _used += at;
    }

    /// <summary>
    /// Puts the rows into the byte order of their ids (<c>COLLATE "C"</c>; not the order of .NET strings, which differs for emoji)
    /// and of equal ids keeps the one added first.
    /// </summary>
    /// <returns>How many rows were removed as duplicates.</returns>
    public int SortAndDeduplicate()
    {
        var places = _places.AsSpan(0, Count);
        Sort(new ulong[Count], places, 0);
        var kept = 0;
        foreach (var place in places)
        {
            if (place >= 0)
            {
                places[kept++] = place;
            }
        }

        (var before, Count) = (Count, kept);
        return before - kept;
    }

    /// <summary>The id of a row, by its place in the present order.</summary>
    public string UserId(int row) => Encoding.UTF8.GetString(Id(_places[row]));

    /// <summary>Writes the tuple (batch_id int8, user_id text, vars text[]); vars ends with the last value given.</summary>
    /// <param name="copy">Where to.</param>
    /// <param name="row">The row, by its place in the present order.</param>
    /// <param name="batchId">The batch that the row goes into.</param>
    /// <param name="positions">For each column its place in the batch's <c>var_names</c>.</param>
    /// <param name="width">How many names the batch has.</param>
    public void WriteTo(BinaryCopy copy, int row, long batchId, ReadOnlySpan<int> positions, int width)
    {
        var place = _places[row];
        var head = HeadOf(place);
        var elements = Bytes(place, HeadSize + head.IdBytes, head.ElementBytes);
        copy.StartRow(3);
        copy.Int64(batchId);
        copy.Raw(Bytes(place, HeadSize, head.IdBytes));
        if (IsIdentity(positions[..head.Elements]))
        {
            copy.TextArray(head.Elements, head.HasNull, elements);
        }
        else
        {
            WriteMoved(copy, elements, positions[..head.Elements], width);
        }
    }

    /// <summary>Writes every row and the trailer, in pieces of <see cref="BinaryCopy.FlushAt"/> bytes.</summary>
    public async Task WriteAllAsync(BinaryCopy copy, Stream stream, long batchId, int[] positions, int width, CancellationToken ct)
    {
        for (var row = 0; row < Count; row++)
        {
            WriteTo(copy, row, batchId, positions, width);
            if (copy.Length >= BinaryCopy.FlushAt)
            {
                await copy.FlushToAsync(stream, ct);
            }
        }

        copy.End();
        await copy.FlushToAsync(stream, ct);
    }

    /// <summary>The values of a row, null = not given.</summary>
    internal string?[] Values(int row)
    {
        var place = _places[row];
        var head = HeadOf(place);
        var elements = Bytes(place, HeadSize + head.IdBytes, head.ElementBytes);
        var values = new string?[Columns.Count];
        for (var i = 0; i < head.Elements; i++)
        {
            var element = TakeElement(ref elements);
            values[i] = IsNull(element) ? null : Encoding.UTF8.GetString(element[4..]);
        }

        return values;
    }

    /// <summary>
    /// Sorts by eight bytes of the id at a time, after what all the ids have in common: numbers compare many times faster than texts
    /// far apart in memory. Rows equal in these eight are sorted by the next. Removed duplicates become -1.
    /// </summary>
    private void Sort(Span<ulong> keys, Span<long> places, int depth)
    {
        depth = CommonPrefix(places, depth);
        for (var i = 0; i < places.Length; i++)
        {
            keys[i] = KeyAt(Id(places[i]), depth);
        }

        keys.Sort(places);
        for (int from = 0, to; from < places.Length; from = to)
        {
            to = from + 1;
            while (to < places.Length && keys[to] == keys[from])
            {
                to++;
            }

            if (to - from == 1)
            {
                continue;
            }

            if ((byte)keys[from] != 0)
            {
                Sort(keys[from..to], places[from..to], depth + 8);
                continue;
            }

            // No id holds a zero byte, so these have all ended: they are equal. The lowest place was added first.
            places[from..to].Sort();
            places[(from + 1)..to].Fill(-1);
        }
    }

    private int CommonPrefix(ReadOnlySpan<long> places, int depth)
    {
        if (places.IsEmpty)
        {
            return depth;
        }

        var common = Id(places[0])[depth..];
        for (var i = 1; i < places.Length && !common.IsEmpty; i++)
        {
            common = common[..common.CommonPrefixLength(Id(places[i])[depth..])];
        }

        return depth + common.Length;
    }

    private static ulong KeyAt(ReadOnlySpan<byte> id, int depth)
    {
        var rest = id[depth..];
        if (rest.Length >= 8)
        {
            return BinaryPrimitives.ReadUInt64BigEndian(rest);
        }

        ulong key = 0;
        foreach (var b in rest)
        {
            key = (key << 8) | b;
        }

        return rest.IsEmpty ? 0 : key << (8 * (8 - rest.Length));
    }

    private void WriteMoved(BinaryCopy copy, ReadOnlySpan<byte> elements, ReadOnlySpan<int> positions, int width)
    {
        Span<Range> at = width <= 64 ? stackalloc Range[width] : new Range[width];
        at.Clear();
        var rest = elements;
        var count = 0;
        foreach (var position in positions)
        {
            var from = elements.Length - rest.Length;
            if (!IsNull(TakeElement(ref rest)))
            {
                at[position] = from..(elements.Length - rest.Length);
                count = Math.Max(count, position + 1);
            }
        }

        if (_scratch.Length < elements.Length + 4 * width)
        {
            _scratch = new byte[(int)BitOperations.RoundUpToPowerOf2((uint)(elements.Length + 4 * width))];
        }

        var used = 0;
        var hasNull = false;
        foreach (var range in at[..count])
        {
            ReadOnlySpan<byte> element = range.Equals(default) ? [0xFF, 0xFF, 0xFF, 0xFF] : elements[range];
            hasNull |= range.Equals(default);
            element.CopyTo(_scratch.AsSpan(used));
            used += element.Length;
        }

        copy.TextArray(count, hasNull, _scratch.AsSpan(0, used));
    }

    private static bool IsIdentity(ReadOnlySpan<int> positions)
    {
        for (var i = 0; i < positions.Length; i++)
        {
            if (positions[i] != i)
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsNull(ReadOnlySpan<byte> element) => BinaryPrimitives.ReadInt32BigEndian(element) < 0;

    private static ReadOnlySpan<byte> TakeElement(ref ReadOnlySpan<byte> elements)
    {
        var element = elements[..(4 + Math.Max(BinaryPrimitives.ReadInt32BigEndian(elements), 0))];
        elements = elements[element.Length..];
        return element;
    }

    /// <summary>Finds room for the row, exactly measured only when the longest it could be does not fit: measuring costs a pass.</summary>
    private Span<byte> Place(ReadOnlySpan<char> userId, ReadOnlySpan<string?> values)
    {
        long needed = HeadSize + 3L * userId.Length;
        foreach (var value in values)
        {
            needed += 4 + 3L * (value?.Length ?? 0);
        }

        if (_slabs.Count == 0 || needed > _slabs[^1].Length - _used)
        {
            needed = HeadSize + Encoding.UTF8.GetByteCount(userId);
            foreach (var value in values)
            {
                needed += 4 + (value is null ? 0 : Encoding.UTF8.GetByteCount(value));
            }

            if (_slabs.Count == 0 || needed > _slabs[^1].Length - _used)
            {
                _slabs.Add(GC.AllocateUninitializedArray<byte>(checked((int)Math.Max(SlabSize, needed))));
                _used = 0;
            }
        }

        if (Count == _places.Length)
        {
            Array.Resize(ref _places, 2 * Count);
        }

        _places[Count++] = ((long)(_slabs.Count - 1) << 32) | (uint)_used;
        return _slabs[^1].AsSpan(_used);
    }

    private Head HeadOf(long place) => MemoryMarshal.Read<Head>(Bytes(place, 0, HeadSize));

    private ReadOnlySpan<byte> Id(long place) => Bytes(place, HeadSize, HeadOf(place).IdBytes);

    private ReadOnlySpan<byte> Bytes(long place, int skip, int length) =>
        _slabs[(int)(place >> 32)].AsSpan((int)place + skip, length);

    [StructLayout(LayoutKind.Sequential, Size = HeadSize)]
    private struct Head
    {
        public int IdBytes;
        public int ElementBytes;
        public ushort Elements;
        public bool HasNull;
    }
}
