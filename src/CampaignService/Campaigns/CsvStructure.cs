namespace CampaignService.Campaigns;

/// <summary>
/// Follows the double quotes of a CSV text from block to block, at vector speed between them, and stops at a row without end:
/// the parser would hold it whole.
/// </summary>
internal sealed class CsvStructure(int start)
{
    /// <summary>As many columns as a spreadsheet has. Rows that lie within a block are left to the parser.</summary>
    public const int MaxCells = 16_384;

    private State _state = State.Outside;
    private byte _before = (byte)'\n';
    private long _offset = start;
    private long _opened;
    private long _fault;
    private int _cells;

    private enum State
    {
        Outside,
        Inside,
        AfterQuote,
        Stray,
        TextAfterClosing,
        LeftOpen,
        TooManyCells,
    }

    private bool IsSound => _state <= State.AfterQuote;

    /// <summary>Takes the next block; false when there is a fault.</summary>
    public bool Read(ReadOnlySpan<byte> block)
    {
        for (var i = 0; i < block.Length; i++)
        {
            if (_state == State.AfterQuote)
            {
                FollowQuote(block.Slice(i, 1));
            }
            else
            {
                var quote = block[i..].IndexOf((byte)'"');
                var end = quote < 0 ? block.Length : i + quote;
                if (_state == State.Outside)
                {
                    CountCells(block[i..end]);
                }

                i = end;
                if (quote >= 0 && IsSound)
                {
                    _state = _state == State.Inside ? State.AfterQuote : Open(i == 0 ? _before : block[i - 1], i);
                }
            }

            if (!IsSound)
            {
                _fault = _offset + i;
                return false;
            }
        }

        _before = block.IsEmpty ? _before : block[^1];
        _offset += block.Length;
        return true;
    }

    /// <summary>The text is over; false when a quote is still open.</summary>
    public bool End()
    {
        if (_state == State.Inside)
        {
            (_state, _fault) = (State.LeftOpen, _opened);
        }

        return IsSound;
    }

    /// <summary>What is wrong and where.</summary>
    public string Describe(Stream spool)
    {
        var place = CsvPlace.Of(spool, start, _fault);
        return _state switch
        {
            State.LeftOpen => $"{place}: the quote opened here is never closed. Close it at the end of the cell",
            State.Stray => $"{place}: a quote stands in a cell that does not begin with one. " +
                "Put the cell in quotes and double the quotes inside it",
            State.TooManyCells => TooManyCells(place.Line),
            _ => $"{place}: text follows the closing quote of the cell that begins on line {CsvPlace.Of(spool, start, _opened).Line}. " +
                "Double the quotes that belong to the text",
        };
    }

    public static string TooManyCells(int line) => $"line {line}: the row has more than {MaxCells:N0} cells. Look for missing line breaks";

    /// <summary>A quote inside quotes was either the first of a doubled one or the last.</summary>
    private void FollowQuote(ReadOnlySpan<byte> next)
    {
        _state = next[0] == '"' ? State.Inside : EndsCell(next[0]) ? State.Outside : State.TextAfterClosing;
        if (_state == State.Outside)
        {
            CountCells(next);
        }
    }

    private State Open(byte before, int at)
    {
        _opened = _offset + at;
        return EndsCell(before) ? State.Inside : State.Stray;
    }

    private void CountCells(ReadOnlySpan<byte> unquoted)
    {
        var lineEnd = unquoted.LastIndexOfAny((byte)'\r', (byte)'\n');
        _cells = (lineEnd < 0 ? _cells : 0) + unquoted[(lineEnd + 1)..].Count((byte)',');
        _state = _cells < MaxCells ? _state : State.TooManyCells;
    }

    private static bool EndsCell(byte b) => b is (byte)',' or (byte)'\n' or (byte)'\r';
}
