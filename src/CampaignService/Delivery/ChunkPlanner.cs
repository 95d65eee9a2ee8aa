using CampaignService.Channels;
using CampaignService.Data;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>The order in which workers look for work: direct before bulk. In the external ones each channel has its own line.</summary>
public static class Lanes
{
    public const short InAppDirect = 0, InAppBulk = 1, ExternalDirect = 2, ExternalBulk = 3;

    public static readonly short[] InOrder = [InAppDirect, InAppBulk];

    public static short Of(ChannelType type, bool direct) =>
        type == ChannelType.InApp ? (direct ? InAppDirect : InAppBulk) : direct ? ExternalDirect : ExternalBulk;
}

/// <summary>Cuts a batch into chunks when its sending starts: the same ranges for every channel, from the recipients' key alone.</summary>
public static class ChunkPlanner
{
    /// <summary>Recipients in a chunk. Smaller ones cost commits, larger ones memory and time until a pause holds; 2,000 is the knee. At most 2,048, the size of a block of ids.</summary>
    public const int ChunkSize = 2000;

    /// <summary>The same when any of the channels is external: what a worker holds while it waits for providers.</summary>
    public const int ExternalChunkSize = 1000;

    /// <summary>
    /// Runs in the caller's transaction with the batch row locked. What goes to a channel that is not enabled is skipped here and now,
    /// with that reason, so that it stands in the ledger. A chunk's turn counts from the lowest turn its app still has waiting in the
    /// lane: a new batch begins beside the others and does not queue up behind them.
    /// </summary>
    public static async Task PlanAsync(CampaignsDb db, Batch batch, IReadOnlyList<Channel> channels, bool direct, CancellationToken ct)
    {
        // Nobody has told the planner yet how many recipients there are: left to itself it sorts all of them, where hopping along the key
        // from one border to the next takes a quarter of the time. (What is switched off still counts in its estimate, which would call for JIT.)
        await using (var hop = new NpgsqlCommand("SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off", db.Connection))
        {
            await hop.ExecuteNonQueryAsync(ct);
        }
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE cut AS ( -- recipients' key, hop by hop
              SELECT 0 AS no, (SELECT user_id FROM recipients WHERE batch_id = $1 ORDER BY user_id LIMIT 1) AS first_user
              UNION ALL
              SELECT no + 1, (SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id >= cut.first_user ORDER BY user_id OFFSET $4 LIMIT 1)
              FROM cut WHERE (no + 1) * $4 < $7),
            bordered AS (SELECT no, first_user, lead(first_user) OVER (ORDER BY no) AS next_user FROM cut),
            range AS (
              SELECT no, least($4, $7 - no * $4) AS n, first_user,
                CASE WHEN next_user IS NULL THEN (SELECT user_id FROM recipients WHERE batch_id = $1 ORDER BY user_id DESC LIMIT 1)
                ELSE (SELECT user_id FROM recipients WHERE batch_id = $1 AND user_id < next_user ORDER BY user_id DESC LIMIT 1) END AS last_user
              FROM bordered)
            INSERT INTO chunks (batch_id, no, channel_no, app_no, lane, turn, n, first_user, last_user, state, rest, rest_reason, rest_n, skipped, done_at)
            SELECT $1, range.no, channel.no, $2, channel.lane, base.turn + range.no, range.n, range.first_user, range.last_user,
              CASE WHEN channel.enabled THEN 1 ELSE 4 END,
              CASE WHEN channel.enabled THEN NULL ELSE 4 END,
              CASE WHEN channel.enabled THEN NULL ELSE 'channel_disabled' END,
              CASE WHEN channel.enabled THEN 0 ELSE range.n END,
              CASE WHEN channel.enabled THEN 0 ELSE range.n END,
              CASE WHEN channel.enabled THEN NULL ELSE clock_timestamp() END
            FROM range
            CROSS JOIN unnest($5, $6, $3) AS channel (no, enabled, lane)
            CROSS JOIN LATERAL (SELECT coalesce(min(turn), 0) AS turn FROM chunks WHERE state = 1 AND lane = channel.lane AND app_no = $2) AS base -- chunks_ready
            """, db.Connection);
        command.Parameters.Add(new() { Value = batch.Id });
        command.Parameters.Add(new() { Value = batch.AppNo });
        command.Parameters.Add(new() { Value = channels.Select(c => Lanes.Of(c.Type, direct)).ToArray() });
        command.Parameters.Add(new() { Value = channels.Any(c => c.Type != ChannelType.InApp) ? ExternalChunkSize : ChunkSize });
        command.Parameters.Add(new() { Value = channels.Select(c => c.No).ToArray() });
        command.Parameters.Add(new() { Value = channels.Select(c => c.Enabled).ToArray() });
        command.Parameters.Add(new() { Value = batch.Total });
        command.CommandTimeout = 0;
        await command.ExecuteNonQueryAsync(ct);
        await ErasedRecipient.SetAsideAsync(db.Connection, batch.Id, ct);
    }
}
