using CampaignService.Common;

namespace CampaignService.Delivery;

/// <summary>There are chunks to deliver.</summary>
public sealed class WorkSignal(TimeProvider clock) : Signal("campaigns_work", clock);
