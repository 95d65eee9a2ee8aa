using CampaignService.Common;

namespace CampaignService.Feed;

/// <summary>There are new feed items. Whoever writes some calls <see cref="Signal.Wake"/> after the commit.</summary>
public sealed class FeedSignal(TimeProvider clock) : Signal("campaigns_feed", clock);
