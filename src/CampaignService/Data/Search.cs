using System.Linq.Expressions;
using CampaignService.Common;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Data;

/// <summary>Finding text whatever its case, in every script.</summary>
public static class Search
{
    /// <summary>The collation whose letters have cases. That of the database may know ASCII only, as "C" does.</summary>
    public const string Collation = "und-x-icu";

    /// <summary>Keeps the rows in which one of these members holds the text.</summary>
    public static IQueryable<T> Containing<T>(this IQueryable<T> rows, string? search, params Expression<Func<T, string>>[] members)
    {
        if (string.IsNullOrEmpty(search)) return rows;
        var pattern = Text.LikePattern(search);
        // Named, because left out it is not the backslash of SQL but none.
        Expression<Func<string, bool>> like = member => EF.Functions.ILike(EF.Functions.Collate(member, Collation), pattern, "\\");
        var row = Expression.Parameter(typeof(T), "row");
        Expression? any = null;
        foreach (var member in members)
        {
            var value = new Replace(member.Parameters[0], row).Visit(member.Body)!;
            var holds = new Replace(like.Parameters[0], value).Visit(like.Body)!;
            any = any is null ? holds : Expression.OrElse(any, holds);
        }
        return any is null ? rows : rows.Where(Expression.Lambda<Func<T, bool>>(any, row));
    }

    private sealed class Replace(Expression what, Expression with) : ExpressionVisitor
    {
        public override Expression? Visit(Expression? node) => node == what ? with : base.Visit(node);
    }
}
