using System.Security.Cryptography;
using Npgsql;

namespace CampaignService.Data;

/// <summary>Random keys that all processes on one database share, made by whichever starts first.</summary>
public static class SharedSecrets
{
    public static async Task<byte[]> GetOrMakeAsync(NpgsqlDataSource source, string name, CancellationToken ct)
    {
        // The UPDATE that changes nothing makes RETURNING give the row whoever inserted it.
        await using var command = source.CreateCommand(
            "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING value");
        command.Parameters.Add(new() { Value = name });
        command.Parameters.Add(new() { Value = RandomNumberGenerator.GetBytes(32) });
        return (byte[])(await command.ExecuteScalarAsync(ct))!;
    }
}
