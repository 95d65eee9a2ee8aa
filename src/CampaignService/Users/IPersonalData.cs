namespace CampaignService.Users;

/// <summary>Somebody, with a profile or without. The same id in two apps is two people.</summary>
public readonly record struct Person(int AppNo, string UserId);

/// <summary>
/// What one module holds on single people. By this an erasure and an export reach what stands to the right of this module.
/// </summary>
/// <remarks>
/// Each erases in transactions of its own, as short as it can: one over everything would hold a chunk of one batch while it waits for the
/// next batch. Every one must be safe to repeat: die in the middle, and the caller, who got no answer, asks again. They run in the order
/// in which they are registered (<c>Hosting/Modules</c>): what puts messages into feeds before the feed itself.
/// </remarks>
public interface IPersonalData
{
    /// <summary>What it is called in answers, such as <c>feedItems</c>.</summary>
    string Kind { get; }

    /// <summary>Removes it, and the person's id wherever it stands.</summary>
    /// <returns>How many objects there were.</returns>
    ValueTask<long> EraseAsync(Person person, CancellationToken ct);

    /// <summary>All of it, each object as it is to be written as JSON.</summary>
    IAsyncEnumerable<object> ExportAsync(Person person, CancellationToken ct);
}
