using FluentValidation;

namespace CampaignService.Common;

/// <summary>The rules that many contracts share, in the words callers see.</summary>
public static class Checks
{
    public static IRuleBuilderOptions<T, string?> Name<T>(this IRuleBuilder<T, string?> rule) => rule
        .Must(v => v is null || Text.Length(v.AsSpan().Trim()) is >= 1 and <= Text.MaxName).WithMessage($"must have 1 to {Text.MaxName} characters");

    public static IRuleBuilderOptions<T, string?> AtMost<T>(this IRuleBuilder<T, string?> rule, int length) => rule
        .Must(v => v is null || Text.Length(v) <= length).WithMessage($"must have at most {length} characters");

    public static IRuleBuilderOptions<T, string?> Slug<T>(this IRuleBuilder<T, string?> rule, string idPrefix) => rule
        .Must(v => v is null || (Text.SlugForm().IsMatch(v) && !v.StartsWith(idPrefix + "_", StringComparison.Ordinal)))
        .WithMessage($"must have 1 to 200 letters, digits, dots, dashes or underscores, begin with a letter or digit, and not with '{idPrefix}_'");

    public static IRuleBuilderOptions<T, string?> UserId<T>(this IRuleBuilder<T, string?> rule) => rule
        .Must(v => Text.UserIdFault(v) is null).WithMessage((_, v) => Text.UserIdFault(v)!);
}
