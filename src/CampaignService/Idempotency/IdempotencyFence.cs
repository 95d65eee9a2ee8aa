using System.Data.Common;
using CampaignService.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace CampaignService.Idempotency;

/// <summary>
/// Notes on the key of the request, in each transaction that it commits, that its work was done. A request that lost its key to a
/// repetition, because it took longer than anybody waits, does not get to commit.
/// </summary>
public sealed class IdempotencyFence(IHttpContextAccessor http) : DbTransactionInterceptor
{
    public override async ValueTask<InterceptionResult> TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
    {
        if (http.HttpContext?.Features.Get<TakenKey>() is not { } taken) return result;
        // idempotency_keys' key
        await using var command = new NpgsqlCommand("UPDATE idempotency_keys SET state = 2 WHERE app_no = $1 AND key = $2 AND token = $3 AND state IN (1, 2)",
            (NpgsqlConnection)transaction.Connection!, (NpgsqlTransaction)transaction)
        {
            Parameters = { new() { Value = taken.Request.AppNo }, new() { Value = taken.Request.Key }, new() { Value = taken.Token } },
        };
        if (await command.ExecuteNonQueryAsync(cancellationToken) == 0) throw new ApiException(Errors.IdempotencyInProgress());
        return result;
    }
}

/// <summary>The key that the request in hand has taken.</summary>
/// <param name="Request">The request.</param>
/// <param name="Token">The fence.</param>
public sealed record TakenKey(IdempotentRequest Request, Guid Token);
