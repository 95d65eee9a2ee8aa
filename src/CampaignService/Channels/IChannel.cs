namespace CampaignService.Channels;

/// <summary>Hands messages to a provider outside of this service. One object serves all channels of its type, and many calls at once.</summary>
public interface IChannel
{
    ChannelType Type { get; }

    /// <summary>Makes one call. It never throws for what a provider or the network does: that is what the result says.</summary>
    /// <param name="route">The channel, as its settings are now.</param>
    /// <param name="messages">What goes with the call: one, or up to the channel's batch size.</param>
    /// <param name="ct">Gives up: the result is uncertain then, if the call had begun.</param>
    /// <returns>What became of all of them.</returns>
    Task<SendResult> SendAsync(ChannelRoute route, IReadOnlyList<OutgoingMessage> messages, CancellationToken ct);
}

/// <summary>An external channel with its settings and secrets, as of one moment.</summary>
/// <param name="No">Its number.</param>
/// <param name="ChannelId">Its slug.</param>
/// <param name="Settings">Its settings.</param>
/// <param name="Secrets">Its secrets.</param>
public sealed record ChannelRoute(int No, string ChannelId, ChannelType Type, bool Enabled, ChannelSettings Settings, ChannelSecrets Secrets)
{
    public Uri Url { get; } = new(Settings.Url);

    public TimeSpan Timeout { get; } = TimeSpan.FromSeconds(Settings.TimeoutSeconds);
}

/// <summary>A message to one person.</summary>
/// <param name="Id">The same for ever, however often it is sent: the receiver can tell by it.</param>
/// <param name="UserId">The person.</param>
/// <param name="Content">The content, rendered: JSON in UTF-8.</param>
/// <param name="Source">What it belongs to.</param>
public sealed record OutgoingMessage(string Id, string UserId, ReadOnlyMemory<byte> Content, MessageSource Source);

/// <summary>What the messages of one batch on one channel have in common.</summary>
/// <param name="NotificationId">The batch's own id.</param>
/// <param name="CampaignId">The campaign behind it, if one is.</param>
/// <param name="TemplateId">The slug of the template.</param>
/// <param name="TemplateVersion">Its pinned version.</param>
/// <param name="ChannelId">The channel's slug.</param>
public sealed record MessageSource(string NotificationId, string? CampaignId, string TemplateId, int TemplateVersion, string ChannelId);
