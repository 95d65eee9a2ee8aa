using CampaignService.Common;

namespace CampaignService.Webhooks;

/// <summary>There are deliveries to make, or one has come back. For this process only: others find theirs by polling, once a second.</summary>
public sealed class WebhookSignal(TimeProvider clock) : Signal("campaigns_webhooks", clock);
