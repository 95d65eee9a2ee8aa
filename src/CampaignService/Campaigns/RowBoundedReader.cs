namespace CampaignService.Campaigns;

/// <summary>
/// Ends the text when one row takes more of it than any row may, so that a parser, which holds a row whole, cannot be made to hold
/// a file that is one row.
/// </summary>
internal sealed class RowBoundedReader(TextReader inner, long longestRow) : TextReader
{
    private const int Piece = 32 * 1024;

    private long _sinceRowStart;

    /// <summary>The text was cut off; what the parser gives back is not a whole row.</summary>
    public bool RowIsTooLong { get; private set; }

    /// <summary>The most characters that a cell of so many bytes can take in the file: all of them doubled quotes, in quotes, a comma.</summary>
    public static long LongestCell(int bytes) => 2L * bytes + 3;

    public void StartRow() => _sinceRowStart = 0;

    public override int Read(char[] buffer, int index, int count)
    {
        // One piece more: what was read for a row may hold the beginning of the next.
        if (_sinceRowStart > longestRow + Piece)
        {
            RowIsTooLong = true;
            return 0;
        }

        var read = inner.Read(buffer, index, Math.Min(count, Piece));
        _sinceRowStart += read;
        return read;
    }
}
