using System.Globalization;
using System.Text;
using CampaignService.Common;
using CampaignService.Delivery;
using CsvHelper;
using CsvHelper.Configuration;

namespace CampaignService.Campaigns;

/// <summary>One rejected row.</summary>
/// <param name="Line">The line of the file on which the row begins, from 1; a row may span lines.</param>
/// <param name="Column">The header of the column at fault, when it is one column.</param>
/// <param name="Code"><c>blank_user_id</c>, <c>user_id_too_long</c>, <c>bad_user_id</c>, <c>too_few_fields</c> or <c>too_many_fields</c>.</param>
/// <param name="Message">What is wrong, for people.</param>
public sealed record CsvRowError(int Line, string? Column, string Code, string Message);

/// <summary>What a CSV file holds.</summary>
/// <param name="Columns">The variables it has a column for, spelled as in the schema, in the order of the file.</param>
/// <param name="Rows">The rows that are fine, in the order of the file, duplicates included.</param>
/// <param name="Rejected">How many rows were rejected.</param>
/// <param name="Errors">The first <see cref="CsvReader.MaxErrors"/> of them.</param>
public sealed record CsvRecipients(IReadOnlyList<string> Columns, RecipientRows Rows, int Rejected, IReadOnlyList<CsvRowError> Errors);

/// <summary>Reads recipients from a CSV file; what makes a whole file be refused is a bad request that says where and what to do.</summary>
public sealed class CsvReader
{
    public const int MaxErrors = 100;
    public const int MaxCellBytes = 64 * 1024;
    public const int MaxUserIdLength = 255;

    private const int RowsBetweenCancellationChecks = 4096;
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private static readonly CsvConfiguration Rfc4180 = new(CultureInfo.InvariantCulture)
    {
        // Skipped by ReadRow: the parser would swallow a file of nothing but line breaks in one call.
        IgnoreBlankLines = false,
        // CsvText has judged every quote before.
        BadDataFound = null,
        BufferSize = 32 * 1024,
    };

    private readonly Stream _spool;
    private readonly int _start;
    private readonly RowBoundedReader _text;
    private readonly CsvParser _parser;
    private readonly int _maxRows;
    private readonly List<CsvRowError> _errors = [];
    private int _line;
    private long _rowStart;
    private int _rejected;

    private CsvReader(Stream spool, int start, RowBoundedReader text, CsvParser parser, int maxRows) =>
        (_spool, _start, _text, _parser, _maxRows) = (spool, start, text, parser, maxRows);

    /// <summary>Reads a file. Takes the calling thread for as long as it lasts.</summary>
    /// <param name="spool">The file; it must seek, is read twice from its start and is left open.</param>
    /// <param name="variables">The keys of the template's variables: the columns allowed beside <c>user_id</c>.</param>
    /// <param name="maxRows">Data rows allowed, duplicates and rejected ones among them.</param>
    /// <param name="ct">Stops it between blocks and rows.</param>
    /// <exception cref="ApiException">The whole file is refused (400).</exception>
    public static CsvRecipients Read(Stream spool, IReadOnlyList<string> variables, int maxRows, CancellationToken ct = default)
    {
        var shape = CsvText.Check(spool, ct);
        spool.Position = shape.Start;
        using var text = new StreamReader(spool, Utf8, detectEncodingFromByteOrderMarks: false, bufferSize: 16 * 1024, leaveOpen: true);
        using var bounded = new RowBoundedReader(text, longestRow: (variables.Count + 1) * RowBoundedReader.LongestCell(MaxCellBytes));
        using var parser = new CsvParser(bounded, Rfc4180);
        return new CsvReader(spool, shape.Start, bounded, parser, maxRows).Read(variables, shape.LineFeeds, ct);
    }

    private CsvRecipients Read(IReadOnlyList<string> variables, int lineFeeds, CancellationToken ct)
    {
        if (!ReadRow(ct))
        {
            throw CsvRefusal.Because("there is nothing in it. Its first row must name the columns, user_id among them");
        }

        var header = CsvHeader.From(_parser.Record!, _line, variables);
        var rows = new RecipientRows(header.Columns, Math.Min(lineFeeds, _maxRows));
        var values = new string?[header.Columns.Count];
        var read = 0;
        for (; ReadRow(ct); read++)
        {
            if (read == _maxRows)
            {
                throw CsvRefusal.Because($"line {_line}: at most {_maxRows:N0} data rows are allowed. Split the file into several");
            }

            AddRow(header, rows, values);
        }

        return read > 0
            ? new CsvRecipients(header.Columns, rows, _rejected, _errors)
            : throw CsvRefusal.Because("it has headers but no data row. Add a row for each recipient below them");
    }

    private void AddRow(CsvHeader header, RecipientRows rows, string?[] values)
    {
        var count = _parser.Count;
        if (count != header.Names.Count)
        {
            for (var i = 0; i < count; i++)
            {
                Cell(i);
            }

            Reject(null, count < header.Names.Count ? "too_few_fields" : "too_many_fields",
                $"The row has {count} cells, the header has {header.Names.Count}. A cell that holds a comma must stand in double quotes.");
            return;
        }

        for (var i = 0; i < count; i++)
        {
            if (i != header.UserId)
            {
                var value = Cell(i);
                values[i < header.UserId ? i : i - 1] = value.Length == 0 ? null : value;
            }
        }

        var userId = Cell(header.UserId).AsSpan().Trim();
        if (userId.IsEmpty)
        {
            Reject(header.Names[header.UserId], "blank_user_id", "The user id is blank.");
        }
        else if (IsTooLong(userId))
        {
            Reject(header.Names[header.UserId], "user_id_too_long", $"The user id is longer than {MaxUserIdLength} characters.");
        }
        else if (Text.BeginsUnseen(userId))
        {
            Reject(header.Names[header.UserId], "bad_user_id", "The user id begins with a control character.");
        }
        else
        {
            rows.Add(userId, values);
        }
    }

    /// <summary>Reads up to the next line that is not blank.</summary>
    private bool ReadRow(CancellationToken ct)
    {
        do
        {
            _line = _parser.RawRow + 1;
            _rowStart = _parser.CharCount;
            if (_parser.Row % RowsBetweenCancellationChecks == 0)
            {
                ct.ThrowIfCancellationRequested();
            }

            if (!_parser.Read())
            {
                return false;
            }

            if (_text.RowIsTooLong)
            {
                throw CsvPlace.OfLongCell(_spool, _start) ?? CsvRefusal.Because(
                    $"line {_line}: the row is longer than its columns can be. Look for missing line breaks");
            }

            if (_parser.Count > CsvStructure.MaxCells)
            {
                throw CsvRefusal.Because(CsvStructure.TooManyCells(_line));
            }

            _text.StartRow();
        }
        while (IsBlank());
        return true;
    }

    /// <summary>Nothing but a line end. Two quotes are a row of one empty cell; asked last, as it makes a string.</summary>
    private bool IsBlank() => _parser.Count == 1 && _parser[0].Length == 0 && _parser.CharCount - _rowStart is var length
        && (length == 1 || (length == 2 && _parser.RawRecord[0] != '"'));

    private string Cell(int index)
    {
        var cell = _parser[index];
        return cell.Length <= MaxCellBytes / 3 || Utf8.GetByteCount(cell) <= MaxCellBytes
            ? cell
            : throw CsvPlace.OfLongCell(_spool, _start)!;
    }

    private void Reject(string? column, string code, string message)
    {
        _rejected++;
        if (_errors.Count < MaxErrors)
        {
            _errors.Add(new CsvRowError(_line, column, code, message));
        }
    }

    /// <summary>Counts code points: an emoji is one, though two in a .NET string.</summary>
    private static bool IsTooLong(ReadOnlySpan<char> userId)
    {
        var length = userId.Length;
        for (var i = 0; i < userId.Length && length > MaxUserIdLength; i++)
        {
            length -= char.IsLowSurrogate(userId[i]) ? 1 : 0;
        }

        return length > MaxUserIdLength;
    }
}
