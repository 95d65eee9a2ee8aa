using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace CampaignService.Campaigns;

/// <summary>What the first pass over a CSV file learns.</summary>
/// <param name="Start">Where the text begins: after the byte order mark, if there is one.</param>
/// <param name="LineFeeds">How many line feeds it has: about the number of rows.</param>
internal readonly record struct CsvText(int Start, int LineFeeds)
{
    private const int BlockSize = 128 * 1024;

    /// <summary>
    /// Looks at every byte once, in blocks and with vector instructions: the text must be UTF-8 without NUL, and its quotes must be
    /// where RFC 4180 has them. So the parser that comes after meets no surprise, and a quote left open never makes it hold the file.
    /// </summary>
    public static CsvText Check(Stream spool, CancellationToken ct)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BlockSize);
        try
        {
            return Check(spool, buffer, ct);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static CsvText Check(Stream spool, byte[] buffer, CancellationToken ct)
    {
        spool.Position = 0;
        var block = Fill(spool, buffer, 0);
        if (CsvSignature.ForeignFormat(block) is { } format)
        {
            throw CsvRefusal.Because(format);
        }

        var start = block.StartsWith("\uFEFF"u8) ? 3 : 0;
        block = block[start..];
        var delimiterFault = CsvSignature.OtherDelimiter(block);
        var structure = new CsvStructure(start);
        long offset = start;
        var lineFeeds = 0;
        while (!block.IsEmpty)
        {
            ct.ThrowIfCancellationRequested();
            var isLast = spool.Position == spool.Length;
            var text = isLast ? block : block[..^IncompleteTail(block)];
            if (EncodingFault(spool, start, text, offset) is { } encodingFault)
            {
                throw CsvRefusal.Because(delimiterFault is null ? [encodingFault] : [delimiterFault, encodingFault]);
            }

            // In a file with another delimiter, quotes seem to stand in the middle of cells: that fault is named, not this one.
            if (delimiterFault is null && !structure.Read(text))
            {
                throw CsvRefusal.Because(structure.Describe(spool));
            }

            lineFeeds += text.Count((byte)'\n');
            offset += text.Length;
            var tail = block[text.Length..];
            tail.CopyTo(buffer);
            block = isLast ? [] : Fill(spool, buffer, tail.Length);
        }

        return delimiterFault is null && structure.End()
            ? new CsvText(start, lineFeeds)
            : throw CsvRefusal.Because(delimiterFault ?? structure.Describe(spool));
    }

    private static ReadOnlySpan<byte> Fill(Stream spool, byte[] buffer, int kept) =>
        buffer.AsSpan(0, kept + spool.ReadAtLeast(buffer.AsSpan(kept), buffer.Length - kept, throwOnEndOfStream: false));

    private static string? EncodingFault(Stream spool, int start, ReadOnlySpan<byte> text, long offset)
    {
        var nul = text.IndexOf((byte)0);
        if (nul >= 0)
        {
            return $"{CsvPlace.Of(spool, start, offset + nul)}: there is a NUL byte. Remove it";
        }

        if (Utf8.IsValid(text))
        {
            return null;
        }

        var bad = 0;
        while (Rune.DecodeFromUtf8(text[bad..], out _, out var length) == OperationStatus.Done)
        {
            bad += length;
        }

        var latin = text[bad] >= 0xA0 ? $" and would be {CsvRefusal.Show($"{(char)text[bad]}")} there" : "";
        return $"{CsvPlace.Of(spool, start, offset + bad)}: the text is not UTF-8. The byte 0x{text[bad]:X2} looks like " +
            $"Latin-1 or Windows-1252{latin}. Save the file as \"CSV UTF-8\"";
    }

    /// <summary>How many bytes at the end begin a character that the next block completes.</summary>
    private static int IncompleteTail(ReadOnlySpan<byte> block)
    {
        for (var length = 1; length <= Math.Min(3, block.Length); length++)
        {
            var b = block[^length];
            if ((b & 0xC0) != 0x80)
            {
                var needed = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : b >= 0xC0 ? 2 : 1;
                return needed > length ? length : 0;
            }
        }

        return 0;
    }
}
