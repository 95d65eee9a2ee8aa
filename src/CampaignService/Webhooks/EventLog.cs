using System.Text.Json;
using CampaignService.Common;
using Npgsql;

namespace CampaignService.Webhooks;

/// <summary>
/// Where the other modules say what happened: a row in the outbox, in the transaction that changes the object. Die before its commit, and
/// neither happened. What is written by the thousand writes its rows itself, in the statement that changes it: with the number of
/// a <c>subject</c> in place of <c>data</c>, which an <see cref="IEventSubjects"/> puts together when somebody reads it.
/// </summary>
public static class EventLog
{
    /// <param name="connection">With the transaction open.</param>
    /// <param name="appNo">Whose it is.</param>
    /// <param name="type">What happened.</param>
    /// <param name="data">The object as the API shows it now.</param>
    /// <param name="person">Whose id stands in it, as <c>senderId</c>.</param>
    /// <param name="ct">Gives up.</param>
    public static async Task AppendAsync<T>(NpgsqlConnection connection, int appNo, EventType type, T data, string? person, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("INSERT INTO outbox_events (app_no, type, person, data) VALUES ($1, $2, $3, $4)", connection)
        {
            Parameters =
            {
                new() { Value = appNo },
                new() { Value = (short)type },
                new() { Value = person ?? (object)DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text },
                new() { Value = JsonSerializer.Serialize(data, Json.Options) },
            },
        };
        await command.ExecuteNonQueryAsync(ct);
    }
}
