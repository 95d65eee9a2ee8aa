using CampaignService.Channels;

namespace CampaignService.Delivery.External;

/// <summary>What every turn at a chunk works with.</summary>
internal sealed record ExternalWorks(
    ExternalChunks Chunks, DeliveryPulse Pulse, MessageIds Ids, ExternalSettings Settings, TimeProvider Clock, ILogger Log, Action Wake);
