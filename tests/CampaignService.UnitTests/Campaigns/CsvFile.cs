using System.Text;
using CampaignService.Campaigns;
using CampaignService.Common;

namespace CampaignService.UnitTests.Campaigns;

/// <summary>Files to read, and reading them as a template with the variables name, city and Last-Name does.</summary>
internal static class CsvFile
{
    public static readonly string[] Variables = ["name", "city", "Last-Name"];

    public static CsvRecipients Read(string text) => Read(Encoding.UTF8.GetBytes(text));

    public static CsvRecipients Read(byte[] file) => Read(new MemoryStream(file));

    public static CsvRecipients Read(Stream spool, int maxRows = 100_000) => CsvReader.Read(spool, Variables, maxRows);

    /// <summary>Every fault of a file that must be refused.</summary>
    public static IReadOnlyList<string> Faults(string text) => Faults(Encoding.UTF8.GetBytes(text));

    public static IReadOnlyList<string> Faults(byte[] file) => Faults(new MemoryStream(file));

    public static IReadOnlyList<string> Faults(Stream spool, int maxRows = 100_000)
    {
        var error = Assert.Throws<ApiException>(() => Read(spool, maxRows)).Error;
        Assert.Equal((400, "ERR_BAD_REQUEST"), (error.Status, error.Code));
        var details = Assert.IsAssignableFrom<IReadOnlyList<string>>(error.Details);
        Assert.All(details, detail => Assert.StartsWith("file: ", detail, StringComparison.Ordinal));
        return details;
    }

    /// <summary>The rows as text, id and values joined by bars, absent values as a dash.</summary>
    public static string[] Rows(CsvRecipients read) => [.. Enumerable.Range(0, read.Rows.Count)
        .Select(row => string.Join('|', read.Rows.Values(row).Select(value => value ?? "-").Prepend(read.Rows.UserId(row))))];
}

/// <summary>A file of any size that takes no memory: a beginning, one byte many times, an end.</summary>
internal sealed class RepeatingStream(string beginning, char filler, long times, string end = "") : Stream
{
    private readonly byte[] _beginning = Encoding.UTF8.GetBytes(beginning);
    private readonly byte[] _end = Encoding.UTF8.GetBytes(end);

    public override long Length => _beginning.Length + times + _end.Length;

    public override long Position { get; set; }

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override int Read(Span<byte> buffer)
    {
        var count = (int)Math.Min(buffer.Length, Length - Position);
        buffer[..count].Fill((byte)filler);
        Place(_beginning, 0, buffer[..count]);
        Place(_end, _beginning.Length + times, buffer[..count]);
        Position += count;
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    private void Place(byte[] text, long at, Span<byte> buffer)
    {
        var from = Math.Max(at, Position);
        var to = Math.Min(at + text.Length, Position + buffer.Length);
        if (from < to)
        {
            text.AsSpan((int)(from - at), (int)(to - from)).CopyTo(buffer[(int)(from - Position)..]);
        }
    }
}

/// <summary>Hands a file over in pieces of one to seven bytes, so that everything that can be cut is cut.</summary>
internal sealed class DribblingStream(byte[] file) : MemoryStream(file)
{
    private int _turn;

    public override int Read(byte[] buffer, int offset, int count) => base.Read(buffer, offset, Math.Min(count, 1 + _turn++ % 7));
}
