using CampaignService.Common;
using Npgsql;

namespace CampaignService.Idempotency;

/// <summary>
/// The keys of requests and their answers, kept for 24 h. A request takes its key in a commit of its own, with a fence; the transaction
/// that does the work notes on the key that it was done (<see cref="IdempotencyFence"/>), and the answer is written to it at the end.
/// Die before the work is committed: after a minute the same request may take the key again, and the fence keeps the first from
/// committing late. Die after it: the key says that it was done, and nobody does it twice. What stores its answer with its work, in one
/// transaction, needs none of this: <see cref="StoreAsync"/>.
/// </summary>
public sealed class IdempotencyKeys(NpgsqlDataSource source)
{
    /// <summary>How long a request may hold its key without having done anything.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>A key that is out of date, or whose holder died before it did anything, is as good as none.</summary>
    public const string IsFree = "k.at < clock_timestamp() - interval '24 hours' OR (k.state = 1 AND k.digest = excluded.digest AND k.at < clock_timestamp() - interval '1 minute')";

    // idempotency_keys' key
    private const string Take = $"""
        INSERT INTO idempotency_keys AS k (app_no, key, digest, state, token, status, answer, location, person, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
        ON CONFLICT (app_no, key) DO UPDATE
        SET digest = excluded.digest, state = excluded.state, token = excluded.token, status = excluded.status, answer = excluded.answer, location = excluded.location, person = excluded.person, at = excluded.at
        WHERE {IsFree}
        RETURNING true
        """;

    // idempotency_keys' key. Done since a moment and not answered, it is being answered.
    private const string Read = """
        SELECT digest, CASE WHEN state = 2 AND at > clock_timestamp() - interval '1 minute' THEN 1::smallint ELSE state END, status, answer, location
        FROM idempotency_keys WHERE app_no = $1 AND key = $2
        """;

    /// <summary>Takes the key for a request that is about to be worked on.</summary>
    /// <returns>The fence; or the answer, when this request was answered before.</returns>
    /// <exception cref="ApiException">422: the key belongs to another request. 409: the same request is being worked on, or its answer was lost.</exception>
    public async Task<(Guid Token, KeptAnswer? Answer)> TakeAsync(IdempotentRequest request, CancellationToken ct)
    {
        var token = Guid.NewGuid();
        return (token, await InsertAsync(request, KeyState.Running, token, null, ct));
    }

    /// <summary>Keeps the answer to a request that did nothing, unless it is a repetition.</summary>
    /// <returns>The answer to give: this, or that of the first time.</returns>
    public async Task<(KeptAnswer Answer, bool Replayed)> SettleAsync(IdempotentRequest request, KeptAnswer answer, CancellationToken ct) =>
        await InsertAsync(request, KeyState.Answered, null, answer, ct) is { } first ? (first, true) : (answer, false);

    /// <summary>The key with its answer, for the transaction that does the work.</summary>
    /// <returns>The answer, when this request was answered before: then nothing must be committed.</returns>
    public static async Task<KeptAnswer?> StoreAsync(NpgsqlConnection connection, IdempotentRequest request, KeptAnswer answer, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { TakeCommand(request, KeyState.Answered, null, answer), ReadCommand(request) } };
        return await TakenAsync(batch, request, ct);
    }

    /// <summary>Writes the answer of a request whose key was taken.</summary>
    public Task AnswerAsync(IdempotentRequest request, Guid token, KeptAnswer answer, CancellationToken ct) => ExecuteAsync(
        // idempotency_keys' key
        "UPDATE idempotency_keys SET state = 3, status = $4, answer = $5, location = $6 WHERE app_no = $1 AND key = $2 AND token = $3 AND state IN (1, 2)",
        [request.AppNo, request.Key, token, (short)answer.Status, answer.Body, (object?)answer.Location ?? DBNull.Value], ct);

    /// <summary>Gives the key of a request back that did nothing and whose answer is not kept. One that did something keeps it.</summary>
    public Task ReleaseAsync(IdempotentRequest request, Guid token, CancellationToken ct) =>
        // idempotency_keys' key
        ExecuteAsync("DELETE FROM idempotency_keys WHERE app_no = $1 AND key = $2 AND token = $3 AND state = 1", [request.AppNo, request.Key, token], ct);

    /// <summary>Removes keys that are out of date, a part at a time.</summary>
    /// <returns>How many.</returns>
    public async Task<int> SweepAsync(CancellationToken ct)
    {
        // idempotency_keys_at, a BRIN index: rows lie in the order of their time
        await using var command = source.CreateCommand("""
            DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
              SELECT ctid FROM idempotency_keys WHERE at < clock_timestamp() - interval '24 hours' LIMIT 10000 FOR UPDATE SKIP LOCKED))
            """);
        return await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>What a key that is not free means for this request.</summary>
    /// <exception cref="ApiException">422 or 409.</exception>
    public static KeptAnswer Meet(IdempotentRequest request, ReadOnlySpan<byte> digest, KeyState state, KeptAnswer? answer)
    {
        if (!digest.SequenceEqual(request.Digest)) throw new ApiException(Errors.IdempotencyKeyReused());
        return answer ?? throw new ApiException(state == KeyState.Done ? Errors.IdempotencyAnswerLost() : Errors.IdempotencyInProgress());
    }

    private async Task<KeptAnswer?> InsertAsync(IdempotentRequest request, KeyState state, Guid? token, KeptAnswer? answer, CancellationToken ct)
    {
        await using var batch = source.CreateBatch();
        batch.BatchCommands.Add(TakeCommand(request, state, token, answer));
        batch.BatchCommands.Add(ReadCommand(request));
        return await TakenAsync(batch, request, ct);
    }

    private static async Task<KeptAnswer?> TakenAsync(NpgsqlBatch batch, IdempotentRequest request, CancellationToken ct)
    {
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var taken = await reader.ReadAsync(ct);
        await reader.NextResultAsync(ct);
        // Given back by its holder between the two statements: whoever comes next gets it.
        if (!await reader.ReadAsync(ct)) throw new ApiException(Errors.IdempotencyInProgress());
        var state = (KeyState)reader.GetInt16(1);
        var found = taken ? null : Meet(request, reader.GetFieldValue<byte[]>(0), state,
            state == KeyState.Answered ? new KeptAnswer(reader.GetInt16(2), reader.GetFieldValue<byte[]>(3), reader.IsDBNull(4) ? null : reader.GetString(4)) : null);
        // The batch commits at its end.
        await reader.NextResultAsync(ct);
        return found;
    }

    private static NpgsqlBatchCommand TakeCommand(IdempotentRequest request, KeyState state, Guid? token, KeptAnswer? answer) => new(Take)
    {
        Parameters =
        {
            new() { Value = request.AppNo },
            new() { Value = request.Key },
            new() { Value = request.Digest },
            new() { Value = (short)state },
            new() { Value = (object?)token ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Uuid },
            new() { Value = answer is null ? DBNull.Value : (short)answer.Status, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Smallint },
            new() { Value = (object?)answer?.Body ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Bytea },
            new() { Value = (object?)answer?.Location ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
            new() { Value = (object?)request.Person ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
        },
    };

    private static NpgsqlBatchCommand ReadCommand(IdempotentRequest request) => new(Read) { Parameters = { new() { Value = request.AppNo }, new() { Value = request.Key } } };

    private async Task ExecuteAsync(string sql, object[] values, CancellationToken ct)
    {
        await using var command = source.CreateCommand(sql);
        foreach (var value in values) command.Parameters.Add(value == DBNull.Value ? new() { Value = value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text } : new() { Value = value });
        await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>How far the request of a key has come.</summary>
public enum KeyState
{
    /// <summary>It is being worked on, and has changed nothing yet.</summary>
    Running = 1,

    /// <summary>Its work is committed; its answer is not there, or not yet.</summary>
    Done = 2,

    /// <summary>It is answered.</summary>
    Answered = 3,
}
