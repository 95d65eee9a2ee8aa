using CampaignService.Common;

namespace CampaignService.Campaigns;

/// <summary>
/// A place in a CSV file, as people count. Only found when there is something to say about it: going byte by byte through the file
/// once more costs a refused file 0.2 s, counting along would cost every file.
/// </summary>
/// <param name="Line">From 1; CR, LF and CR LF each end a line, also in quotes.</param>
/// <param name="Column">From 1.</param>
internal readonly record struct CsvPlace(int Line, int Column)
{
    public override string ToString() => $"line {Line}, column {Column}";

    /// <summary>The place of the byte at this offset.</summary>
    public static CsvPlace Of(Stream spool, int start, long offset) => Walk(spool, start, offset, longestCell: long.MaxValue).Place;

    /// <summary>The refusal of the first cell that is too long; nothing when there is none.</summary>
    public static ApiException? OfLongCell(Stream spool, int start)
    {
        var end = Walk(spool, start, spool.Length, CsvReader.MaxCellBytes);
        return end.CellBytes > CsvReader.MaxCellBytes
            ? CsvRefusal.Because($"{end.Cell}: the cell is longer than {CsvReader.MaxCellBytes / 1024} KiB. Shorten it")
            : null;
    }

    private static Walker Walk(Stream spool, int start, long end, long longestCell)
    {
        var walker = new Walker();
        var block = new byte[32 * 1024];
        spool.Position = start;
        for (var left = end - start; left > 0;)
        {
            var read = spool.ReadAtLeast(block.AsSpan(0, (int)Math.Min(left, block.Length)), 1);
            foreach (var b in block.AsSpan(0, read))
            {
                walker.Step(b);
                if (walker.CellBytes > longestCell)
                {
                    return walker;
                }
            }

            left -= read;
        }

        return walker;
    }

    private struct Walker()
    {
        private bool _inQuotes;
        private bool _afterQuote;
        private bool _afterReturn;
        private bool _atCellStart = true;

        /// <summary>Where the next byte stands.</summary>
        public CsvPlace Place = new(1, 1);

        /// <summary>Where its cell begins.</summary>
        public CsvPlace Cell = new(1, 1);

        /// <summary>How many bytes its cell has so far, without what only quotes them.</summary>
        public long CellBytes;

        public void Step(byte b)
        {
            var isBreak = b is (byte)'\r' or (byte)'\n';
            var endsLine = isBreak && !(b == '\n' && _afterReturn);
            _afterReturn = b == '\r';
            Place = Place with { Line = Place.Line + (endsLine ? 1 : 0) };
            if (b == '"' && (_inQuotes || _afterQuote || _atCellStart))
            {
                CellBytes += _afterQuote ? 1 : 0;
                _afterQuote = _inQuotes;
                _inQuotes = !_inQuotes;
                _atCellStart = false;
            }
            else if (_inQuotes || !(isBreak || b == ','))
            {
                CellBytes++;
                _afterQuote = _atCellStart = false;
            }
            else
            {
                Cell = Place = Place with { Column = isBreak ? 1 : Place.Column + 1 };
                CellBytes = 0;
                _afterQuote = false;
                _atCellStart = true;
            }
        }
    }
}
