namespace CampaignService.Campaigns;

/// <summary>
/// Follows the double quotes of a CSV text from block to block; all the bytes between two quotes are skipped at vector speed.
/// </summary>
internal sealed class CsvQuotes(int start)
{
    private State _state = State.Outside;
    private byte _before = (byte)'\n';
    private long _offset = start;
    private long _opened;
    private long _fault;

    private enum State
    {
        Outside,
        Inside,
        AfterQuote,
        Stray,
        TextAfterClosing,
        LeftOpen,
    }

    /// <summary>Takes the next block; false at the first quote that is not where it may be.</summary>
    public bool Read(ReadOnlySpan<byte> block)
    {
        for (var i = 0; i < block.Length; i++)
        {
            if (_state == State.AfterQuote)
            {
                _state = block[i] == '"' ? State.Inside : EndsCell(block[i]) ? State.Outside : State.TextAfterClosing;
            }
            else
            {
                var quote = block[i..].IndexOf((byte)'"');
                if (quote < 0)
                {
                    break;
                }

                i += quote;
                _state = _state == State.Inside ? State.AfterQuote : Open(i == 0 ? _before : block[i - 1], i);
            }

            if (_state > State.AfterQuote)
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

        return _state <= State.AfterQuote;
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
            _ => $"{place}: text follows the closing quote of the cell that begins on line {CsvPlace.Of(spool, start, _opened).Line}. " +
                "Double the quotes that belong to the text",
        };
    }

    private State Open(byte before, int at)
    {
        _opened = _offset + at;
        return EndsCell(before) ? State.Inside : State.Stray;
    }

    private static bool EndsCell(byte b) => b is (byte)',' or (byte)'\n' or (byte)'\r';
}
