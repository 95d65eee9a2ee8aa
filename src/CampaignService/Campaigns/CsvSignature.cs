using System.Text;

namespace CampaignService.Campaigns;

/// <summary>Tells by its beginning what a file is that is no comma-separated UTF-8 text.</summary>
internal static class CsvSignature
{
    private const string SaveAsCsv = "Save it as \"CSV UTF-8 (comma delimited)\" and upload that";

    private static readonly (char Delimiter, string Name)[] Others = [(';', "semicolon"), ('\t', "tab"), ('|', "pipe")];

    /// <summary>The refusal of a file that is not text, or UTF-16 or UTF-32.</summary>
    public static string? ForeignFormat(ReadOnlySpan<byte> file)
    {
        if (WideEncoding(file) is { } encoding)
        {
            return $"the text is {encoding}, not UTF-8. {SaveAsCsv}";
        }

        var format =
            file.StartsWith("PK\x03\x04"u8) ? "an Excel workbook (.xlsx) or another zip file"
            : file.StartsWith((ReadOnlySpan<byte>)[0xD0, 0xCF, 0x11, 0xE0]) ? "an old Excel workbook (.xls)"
            : file.StartsWith("%PDF-"u8) ? "a PDF document"
            : file.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G']) ? "a PNG picture"
            : file.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF]) ? "a JPEG picture"
            : file.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]) ? "a gzip file; unpack it first"
            : null;
        return format is null ? null : $"this is {format}, not CSV. {SaveAsCsv}";
    }

    /// <summary>The refusal of a file whose header row is parted by something else than commas.</summary>
    public static string? OtherDelimiter(ReadOnlySpan<byte> text)
    {
        var row = text.TrimStart("\r\n"u8);
        var end = row.IndexOfAny((byte)'\r', (byte)'\n');
        var header = Encoding.UTF8.GetString(end < 0 ? row : row[..end]);
        if (NamesUserId(header, ','))
        {
            return null;
        }

        foreach (var (delimiter, name) in Others)
        {
            if (NamesUserId(header, delimiter) || (header.Contains(delimiter) && !header.Contains(',')))
            {
                return $"the columns are parted by {name}s, not by commas. {SaveAsCsv}";
            }
        }

        return null;
    }

    /// <summary>Without a byte order mark the zeros tell: a header row begins with ASCII.</summary>
    private static string? WideEncoding(ReadOnlySpan<byte> file) => file.Length < 2 ? null : (file[0], file[1], Third(file), Fourth(file)) switch
    {
        (0xFF, 0xFE, 0, 0) => "UTF-32 LE",
        (0, 0, 0xFE, 0xFF) => "UTF-32 BE",
        (0xFF, 0xFE, _, _) => "UTF-16 LE",
        (0xFE, 0xFF, _, _) => "UTF-16 BE",
        ( > 0, 0, 0, 0) => "UTF-32 LE",
        (0, 0, 0, > 0) => "UTF-32 BE",
        ( > 0, 0, > 0, 0) => "UTF-16 LE",
        (0, > 0, 0, > 0) => "UTF-16 BE",
        _ => null,
    };

    private static int Third(ReadOnlySpan<byte> file) => file.Length > 2 ? file[2] : -1;

    private static int Fourth(ReadOnlySpan<byte> file) => file.Length > 3 ? file[3] : -1;

    private static bool NamesUserId(string header, char delimiter)
    {
        foreach (var part in header.AsSpan().Split(delimiter))
        {
            if (CsvHeader.IsUserId(header.AsSpan(part).Trim().Trim('"').Trim()))
            {
                return true;
            }
        }

        return false;
    }
}
