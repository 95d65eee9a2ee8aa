using System.Diagnostics.Metrics;

namespace CampaignService.Common;

/// <summary>
/// What the service counts, from the start of the process. Labels are words of ours and no ids, so their number is bounded. The truth about
/// a campaign is its ledger; this is how fast things go and what goes wrong.
/// </summary>
public static class Telemetry
{
    public const string MeterName = "CampaignService";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Counter<long> Messages = Meter.CreateCounter<long>("campaigns.messages", "{message}",
        "Messages that this worker brought to an end, by channel type and status. What a stop leaves out or a lost chunk fails is not among them.");

    private static readonly Counter<long> Chunks = Meter.CreateCounter<long>("campaigns.chunks", "{chunk}",
        "Turns at chunks: closed, abandoned (taken away by a pause or stop), given_back (unbegun), rescued (from a worker that died), set_aside (failed for good).");

    private static readonly Counter<long> Launches = Meter.CreateCounter<long>("campaigns.launches", "{campaign}", "Campaigns whose sending this process started.");

    private static readonly Counter<long> WebhookCalls = Meter.CreateCounter<long>("campaigns.webhook_calls", "{call}",
        "Calls of webhooks: taken, failed (and tried again), given_up (after the last attempt or a 410).");

    private static long _stuckWork;

    static Telemetry() => Meter.CreateObservableGauge("campaigns.stuck_work", () => StuckWork, "{object}",
        "Batches and campaigns that are due and make no progress, as this process last saw; it stops at 10 of each.");

    /// <summary>How much is due and makes no progress, as last seen.</summary>
    public static long StuckWork
    {
        get => Volatile.Read(ref _stuckWork);
        set => Volatile.Write(ref _stuckWork, value);
    }

    public static void ChunkClosed(string channelType, int delivered, int skipped)
    {
        Messages.Add(delivered, new("channel_type", channelType), new("status", "delivered"));
        Messages.Add(skipped, new("channel_type", channelType), new("status", "skipped"));
        Chunk("closed", 1);
    }

    /// <summary>Messages of one call to a provider.</summary>
    public static void Sent(string channelType, string status, int count) => Messages.Add(count, new("channel_type", channelType), new("status", status));

    public static void ChunkClosed() => Chunk("closed", 1);

    public static void ChunkAbandoned() => Chunk("abandoned", 1);

    public static void ChunkGivenBack() => Chunk("given_back", 1);

    public static void ChunkRescued() => Chunk("rescued", 1);

    public static void ChunkSetAside() => Chunk("set_aside", 1);

    public static void Launched() => Launches.Add(1);

    public static void WebhookCalled(bool taken, bool again) => WebhookCalls.Add(1, new KeyValuePair<string, object?>("result", taken ? "taken" : again ? "failed" : "given_up"));

    /// <summary>Shows what has not happened yet as 0, so that its first time is seen as a rise.</summary>
    public static void Begin()
    {
        foreach (var result in (string[])["closed", "abandoned", "given_back", "rescued", "set_aside"]) Chunk(result, 0);
        foreach (var result in (string[])["taken", "failed", "given_up"]) WebhookCalls.Add(0, new KeyValuePair<string, object?>("result", result));
        Launches.Add(0);
    }

    private static void Chunk(string result, long by) => Chunks.Add(by, new KeyValuePair<string, object?>("result", result));
}
