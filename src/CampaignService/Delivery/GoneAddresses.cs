using System.Runtime.CompilerServices;
using CampaignService.Users;
using Npgsql;

namespace CampaignService.Delivery;

/// <summary>The channels by which one person is not to be reached any more.</summary>
public sealed class GoneAddresses(NpgsqlDataSource source) : IPersonalData
{
    public string Kind => "goneAddresses";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct)
    {
        // gone_addresses' key, for each channel of the app
        await using var command = source.CreateCommand("DELETE FROM gone_addresses WHERE channel_no IN (SELECT no FROM channels WHERE app_no = $1) AND user_id = $2");
        AddPerson(command, person);
        return await command.ExecuteNonQueryAsync(ct);
    }

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        // The same.
        await using var command = source.CreateCommand("SELECT c.channel_id, g.at FROM channels c JOIN gone_addresses g ON g.channel_no = c.no AND g.user_id = $2 WHERE c.app_no = $1");
        AddPerson(command, person);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return new { ChannelId = reader.GetString(0), At = reader.GetFieldValue<DateTimeOffset>(1) };
    }

    private static void AddPerson(NpgsqlCommand command, Person person)
    {
        command.Parameters.Add(new() { Value = person.AppNo });
        command.Parameters.Add(new() { Value = person.UserId });
    }
}
