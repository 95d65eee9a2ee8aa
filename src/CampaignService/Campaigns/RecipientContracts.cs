using System.Text.Json;
using CampaignService.Common;
using FluentValidation;

namespace CampaignService.Campaigns;

/// <summary>Recipients by id.</summary>
public sealed class AddRecipients
{
    /// <summary>The most ids in one call; a campaign may have any number.</summary>
    public const int MaxUserIds = 10_000;

    /// <summary>1 to 10,000 user ids, each 1 to 255 characters without surrounding white space. One that is repeated, or is a recipient already, is counted as a duplicate.</summary>
    public required IReadOnlyList<string> UserIds { get; init; }

    /// <summary>Values for single recipients: by user id (which must be in <c>userIds</c>), then by variable of the template.</summary>
    public Dictionary<string, Dictionary<string, JsonElement>>? UserVariables { get; init; }

    public sealed class Validator : AbstractValidator<AddRecipients>
    {
        public Validator()
        {
            RuleFor(b => b.UserIds).Must(ids => ids is null || ids.Count is >= 1 and <= MaxUserIds)
                .WithMessage(b => $"must hold 1 to {MaxUserIds:N0} user ids, this has {b.UserIds.Count:N0}; send more in further calls, or upload a CSV file")
                .DependentRules(() => RuleForEach(b => b.UserIds).UserId());
        }
    }
}

/// <summary>What adding recipients came to.</summary>
/// <param name="Added">New recipients.</param>
/// <param name="Duplicates">Ids that were repeated or in the campaign already.</param>
/// <param name="Total">Recipients of the campaign now.</param>
public sealed record AddedRecipients(int Added, int Duplicates, int Total);

/// <summary>What an upload came to.</summary>
/// <param name="CampaignId">The campaign.</param>
/// <param name="Uploaded">New recipients.</param>
/// <param name="Total">Recipients of the campaign now.</param>
/// <param name="Duplicates">Rows whose user id stood in the file before, or was in the campaign already; the first counts.</param>
/// <param name="Rejected">Rows that were left out because they are faulty.</param>
/// <param name="Errors">The first 100 of those, each with its line.</param>
public sealed record UploadView(string CampaignId, int Uploaded, int Total, int Duplicates, int Rejected, IReadOnlyList<CsvRowError> Errors);
