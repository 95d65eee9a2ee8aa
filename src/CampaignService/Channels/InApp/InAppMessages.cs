using System.Text;
using CampaignService.Data;
using CampaignService.Feed;
using Npgsql;

namespace CampaignService.Channels.InApp;

/// <summary>The in-app messages of one chunk: those that can be sent become feed rows, the others are set aside with their reason.</summary>
public sealed class InAppMessages(int appNo, int channelNo, long sourceId, FeedChannel channel) : IDisposable
{
    public const string MissingVariable = "missing_variable", InvalidVariable = "invalid_variable";

    private readonly FeedCopy _feed = new();
    private readonly List<SkippedMessage> _skipped = [];

    public int Delivered { get; private set; }

    public IReadOnlyList<SkippedMessage> Skipped => _skipped;

    /// <param name="userId">UTF-8.</param>
    /// <param name="vars">A <c>text[]</c> in PostgreSQL's binary form.</param>
    /// <param name="feedId">The id of the feed row, from the database.</param>
    public void Add(ReadOnlySpan<byte> userId, ReadOnlySpan<byte> vars, long feedId)
    {
        if (FaultOf(vars) is { } fault)
        {
            _skipped.Add(new SkippedMessage(Encoding.UTF8.GetString(userId), fault.Reason, fault.Detail));
            return;
        }
        _feed.Add(appNo, channelNo, feedId, sourceId, channel.ExpiryOf(feedId), userId, vars);
        Delivered++;
    }

    public Task WriteAsync(NpgsqlConnection connection, CancellationToken ct) => Delivered == 0 ? Task.CompletedTask : _feed.WriteAsync(connection, ct);

    public void Dispose() => _feed.Dispose();

    private (string Reason, string Detail)? FaultOf(ReadOnlySpan<byte> vars)
    {
        foreach (var required in channel.Template.Requirements)
        {
            if (required.Position < 0 || BinaryTextArray.IsNull(vars, required.Position)) return (MissingVariable, required.Key);
        }
        if (channel.Template.Checked.Count == 0) return null;
        return channel.Template.InvalidFor(BinaryTextArray.Read(vars)) is { } invalid ? (InvalidVariable, invalid) : null;
    }
}

/// <summary>A recipient who was left out, and why.</summary>
public sealed record SkippedMessage(string UserId, string Reason, string Detail);
