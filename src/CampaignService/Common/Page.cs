using System.ComponentModel.DataAnnotations;

namespace CampaignService.Common;

/// <summary>The envelope of one object.</summary>
/// <param name="Data">The object.</param>
public sealed record One<T>(T Data);

/// <summary>The envelope of a list.</summary>
/// <param name="Data">The rows of this page.</param>
/// <param name="Meta">Where this page stands.</param>
public sealed record Page<T>(IReadOnlyList<T> Data, PageMeta Meta);

/// <summary>Where a page stands in its list.</summary>
/// <param name="Limit">The most rows that this page could have.</param>
/// <param name="Count">The rows in this page.</param>
/// <param name="Next">Give this as <c>cursor</c> to get the page behind this one; null at the end.</param>
public sealed record PageMeta(int Limit, int Count, string? Next);

/// <summary>How a list is read page by page.</summary>
public class PageQuery
{
    /// <summary>Rows in a page, 1 to 100.</summary>
    /// <example>20</example>
    [Range(1, 100, ErrorMessage = "must be a whole number from 1 to 100")]
    public int Limit { get; init; } = 20;

    /// <summary>The <c>next</c> of the page before; left out for the first page.</summary>
    public string? Cursor { get; init; }
}

public static class Page
{
    /// <summary>Takes one row more than a page holds as the sign that there is a next page.</summary>
    public static Page<TOut> Of<TRow, TOut>(IReadOnlyList<TRow> rows, int limit, Func<TRow, TOut> map, Func<TRow, string> cursor)
    {
        var count = Math.Min(rows.Count, limit);
        var data = new TOut[count];
        for (var i = 0; i < count; i++) data[i] = map(rows[i]);
        return new Page<TOut>(data, new PageMeta(limit, count, rows.Count > limit ? cursor(rows[limit - 1]) : null));
    }
}
