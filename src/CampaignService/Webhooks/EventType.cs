namespace CampaignService.Webhooks;

/// <summary>What can have happened. The numbers stand in the database, the names go out; neither ever changes its meaning.</summary>
public enum EventType : short
{
    CampaignScheduled = 1,
    CampaignStarted = 2,

    /// <summary>It served everybody, or somebody: its status says which.</summary>
    CampaignCompleted = 3,

    /// <summary>It served nobody.</summary>
    CampaignFailed = 4,
    CampaignCancelled = 5,

    /// <summary>It was stopped, and nothing is under way any more.</summary>
    CampaignStopped = 6,
    CampaignPaused = 7,

    /// <summary>It goes on after a pause, or again for those who were not served.</summary>
    CampaignResumed = 8,

    /// <summary>Of rows only: those that were made and completed with one commit. Each of them is two events to whoever reads, and all are one row, so that a send costs next to nothing.</summary>
    NotificationSent = 20,
    NotificationCreated = 21,

    /// <summary>It served somebody, or was stopped: its status says which.</summary>
    NotificationCompleted = 22,
    NotificationFailed = 23,

    FeedItemDelivered = 41,
    FeedItemRead = 42,
    FeedItemEngaged = 43,

    /// <summary>A webhook that the service itself has disabled.</summary>
    WebhookDisabled = 61,

    /// <summary>Somebody tries a webhook; it goes there only and into no log.</summary>
    WebhookTest = 62,
}

/// <summary>The names of events and the patterns that webhooks choose them by: a name, <c>campaign.*</c>, or <c>*</c> for all.</summary>
public static class EventTypes
{
    private const string All = "*";

    private static readonly Dictionary<EventType, string> Names = new()
    {
        [EventType.CampaignScheduled] = "campaign.scheduled",
        [EventType.CampaignStarted] = "campaign.started",
        [EventType.CampaignCompleted] = "campaign.completed",
        [EventType.CampaignFailed] = "campaign.failed",
        [EventType.CampaignCancelled] = "campaign.cancelled",
        [EventType.CampaignStopped] = "campaign.stopped",
        [EventType.CampaignPaused] = "campaign.paused",
        [EventType.CampaignResumed] = "campaign.resumed",
        [EventType.NotificationCreated] = "notification.created",
        [EventType.NotificationCompleted] = "notification.completed",
        [EventType.NotificationFailed] = "notification.failed",
        [EventType.FeedItemDelivered] = "feed_item.delivered",
        [EventType.FeedItemRead] = "feed_item.read",
        [EventType.FeedItemEngaged] = "feed_item.engaged",
        [EventType.WebhookDisabled] = "webhook.disabled",
        [EventType.WebhookTest] = "webhook.test",
    };

    private static readonly string[] Logged = [.. Names.Where(n => n.Key != EventType.WebhookTest).Select(n => n.Value)];

    private static readonly HashSet<string> Patterns = [All, .. Logged, .. Logged.Select(GroupOf)];

    /// <summary>What may be chosen, for messages.</summary>
    public static string Choices => string.Join(", ", Patterns.Order(StringComparer.Ordinal));

    public static string Wire(this EventType type) => Names[type];

    public static bool IsPattern(string pattern) => Patterns.Contains(pattern);

    /// <summary>Every type in the log with one of the patterns that match it, as two lists to be joined with: in SQL a webhook wants a type if it has one of these.</summary>
    public static (short[] Types, string[] Patterns) Matches { get; } = Pairs();

    /// <summary>The types that these patterns choose.</summary>
    public static short[] ChosenBy(IReadOnlyCollection<string> patterns) =>
        [.. Names.Where(n => patterns.Contains(All) || patterns.Contains(n.Value) || patterns.Contains(GroupOf(n.Value))).Select(n => (short)n.Key)];

    private static (short[], string[]) Pairs()
    {
        var pairs = Names.Where(n => n.Key != EventType.WebhookTest).SelectMany(n => new[] { All, n.Value, GroupOf(n.Value) }.Select(pattern => (Type: (short)n.Key, pattern))).ToArray();
        return ([.. pairs.Select(p => p.Type)], [.. pairs.Select(p => p.pattern)]);
    }

    private static string GroupOf(string name) => name[..(name.IndexOf('.', StringComparison.Ordinal) + 1)] + All;
}
