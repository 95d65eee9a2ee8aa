using System.Runtime.CompilerServices;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;
using CampaignService.Users;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>
/// The rows of ledgers that are about one person: batch by batch, each in its own transaction behind the lock of the batch's row. What was
/// sent by then is told as sent, and nothing is sent after it.
/// </summary>
public sealed class RecipientRecords(CampaignsDb db, NpgsqlDataSource source, WorkSignal signal, TimeProvider clock) : IPersonalData
{
    /// <summary>How long an erasure waits for messages that are on their way, and how often it looks.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15), Look = TimeSpan.FromMilliseconds(100);

    public string Kind => "ledgerRows";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct)
    {
        // Until there is none: a campaign that was being copied has them, too.
        var erased = 0L;
        for (var batches = await BatchesOfAsync(person, ct); batches.Count > 0; batches = await BatchesOfAsync(person, ct))
        {
            foreach (var batchId in batches) erased += await EraseAsync(batchId, person.UserId, ct) ? 1 : 0;
        }
        // If they were the last who was pending, the batch has come to its end.
        if (erased > 0) signal.Wake();
        return erased;
    }

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var batchId in await BatchesOfAsync(person, ct))
        {
            if (await ReadAsync(batchId, person.UserId, ct) is { } record) yield return record;
        }
    }

    private async Task<bool> EraseAsync(long batchId, string userId, CancellationToken ct)
    {
        for (var start = clock.GetTimestamp(); ;)
        {
            var result = await TryEraseAsync(batchId, userId, ct);
            if (result != ErasureResult.UnderWay) return result == ErasureResult.Done;
            if (clock.GetElapsedTime(start) > Patience) throw new ApiException(Errors.Conflict("Messages are on their way to this person or to others beside them. Try again shortly; what was erased by now is erased."));
            signal.Wake();
            await Task.Delay(Look, clock, ct);
        }
    }

    private async Task<ErasureResult> TryEraseAsync(long batchId, string userId, CancellationToken ct)
    {
        await using var connection = await source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using var locks = new NpgsqlBatch(connection)
        {
            // An upload may be longer at it; then the caller is told to try again, and what was done by then stays done.
            BatchCommands = { new("SET LOCAL lock_timeout = '10s'"), new("SELECT 1 FROM batches WHERE id = $1 FOR NO KEY UPDATE") { Parameters = { new() { Value = batchId } } } },
        };
        await locks.ExecuteNonQueryAsync(ct);
        var found = await ErasedRecipient.EraseAsync(connection, batchId, userId, ct);
        await transaction.CommitAsync(ct);
        return found;
    }

    private async Task<RecipientRecord?> ReadAsync(long batchId, string userId, CancellationToken ct)
    {
        var batch = await db.Batches.AsNoTracking().FirstOrDefaultAsync(b => b.Id == batchId, ct);
        if (batch is null) return null;
        var version = await db.PinnedVersionAsync(batch.TemplateId, batch.TemplateVersion, ct);
        var channels = version.Content.Channels.ToDictionary(c => c.ChannelNo, c => c.ChannelId);
        await db.Database.OpenConnectionAsync(ct);
        try
        {
            if (await new RecipientLedger(db.Connection, batchId, [.. channels.Keys]).FindAsync(userId, ct) is not { } entry) return null;
            var given = entry.Vars.Select((value, i) => (Name: batch.VarNames[i], Value: value)).Where(v => v.Value is not null);
            return new RecipientRecord(Ids.FromNumber(Ids.Notification, batch.Id), batch.OwnerId, given.ToDictionary(v => v.Name, v => v.Value!),
                [.. entry.Messages.Select(m => new MessageRecord(channels[m.ChannelNo], m.Status, m.Reason, m.Detail, m.Attempts, m.At))]);
        }
        finally
        {
            await db.Database.CloseConnectionAsync();
        }
    }

    private async Task<List<long>> BatchesOfAsync(Person person, CancellationToken ct)
    {
        // Who copies an audience from now on reads it after what was erased by now; who is at it may have read it before, and is waited for.
        await using var look = source.CreateBatch();
        look.BatchCommands.Add(new("SELECT set_config('lock_timeout', '10s', true)"));
        look.BatchCommands.Add(new("SELECT pg_advisory_xact_lock($1, $2)") { Parameters = { new() { Value = RecipientImport.CopyLock }, new() { Value = person.AppNo } } });
        // batches, whole: thousands; recipients' key, once for each
        look.BatchCommands.Add(new("SELECT id FROM batches b WHERE app_no = $1 AND EXISTS (SELECT 1 FROM recipients r WHERE r.batch_id = b.id AND r.user_id = $2) ORDER BY id")
        {
            Parameters = { new() { Value = person.AppNo }, new() { Value = person.UserId } },
        });
        var found = new List<long>();
        await using var reader = await look.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) found.Add(reader.GetInt64(0));
        return found;
    }

    private sealed record RecipientRecord(string NotificationId, string OwnerId, IReadOnlyDictionary<string, string> Variables, IReadOnlyList<MessageRecord> Messages);

    private sealed record MessageRecord(string ChannelId, MessageStatus Status, string? Reason, string? Detail, int Attempts, DateTimeOffset? At);
}
