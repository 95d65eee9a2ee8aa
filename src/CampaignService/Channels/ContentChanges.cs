using System.Collections.Concurrent;

namespace CampaignService.Channels;

/// <summary>Counts the changes that this process made to the channels and templates of an app: what is kept of them holds while the count stands.</summary>
public sealed class ContentChanges
{
    private readonly ConcurrentDictionary<int, int> _counts = new();

    public int CountOf(int appNo) => _counts.GetValueOrDefault(appNo);

    /// <summary>To be called behind the commit.</summary>
    public void Made(int appNo) => _counts.AddOrUpdate(appNo, 1, (_, count) => count + 1);
}
