using System.Runtime.CompilerServices;
using System.Text.Json;
using CampaignService.Common;
using CampaignService.Data;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Users;

/// <summary>Everything that the service holds on one person, wherever it stands.</summary>
public sealed class PersonalRecords(IEnumerable<IPersonalData> kinds, UserTokens tokens, TimeProvider clock)
{
    /// <summary>Erases it. Tokens come first, so that nobody reads what is being erased.</summary>
    /// <exception cref="ApiException">404: there is nothing.</exception>
    public async Task<ErasedView> EraseAsync(Person person, CancellationToken ct)
    {
        await tokens.CutAsync(person, ct);
        var removed = new List<ErasedKind>();
        foreach (var kind in kinds) removed.Add(new ErasedKind(kind.Kind, await kind.EraseAsync(person, ct)));
        return removed.Any(r => r.Count > 0) ? new ErasedView(removed) : throw new ApiException(Errors.NotFound("user", person.UserId));
    }

    /// <summary>Writes it as JSON, object by object.</summary>
    /// <exception cref="ApiException">404: there is nothing.</exception>
    public async Task ExportAsync(Person person, Stream output, CancellationToken ct)
    {
        var found = false;
        await using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = Json.Options.Encoder });
        json.WriteStartObject();
        json.WriteStartObject("data");
        json.WriteString("userId", person.UserId);
        json.WriteString("exportedAt", TimeConverter.Format(clock.GetUtcNow()));
        json.WriteStartObject("records");
        foreach (var kind in kinds)
        {
            json.WriteStartArray(kind.Kind);
            await foreach (var record in kind.ExportAsync(person, ct))
            {
                found = true;
                JsonSerializer.Serialize(json, record, record.GetType(), Json.Options);
                if (json.BytesPending > 32 * 1024) await json.FlushAsync(ct);
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
        if (!found) throw new ApiException(Errors.NotFound("user", person.UserId));
    }
}

/// <summary>What an erasure removed.</summary>
/// <param name="Removed">By kind; the ledger's rows among them stay, under an id that says nothing.</param>
public sealed record ErasedView(IReadOnlyList<ErasedKind> Removed);

/// <summary>How much of one kind was removed.</summary>
/// <param name="Kind">What it was, such as <c>feedItems</c>.</param>
/// <param name="Count">How many.</param>
public sealed record ErasedKind(string Kind, long Count);

/// <summary>Everything held on one person.</summary>
/// <param name="UserId">Who.</param>
/// <param name="ExportedAt">When this was read.</param>
/// <param name="Records">By kind, as in the answer to an erasure.</param>
public sealed record PersonExport(string UserId, DateTimeOffset ExportedAt, IReadOnlyDictionary<string, IReadOnlyList<RawJson>> Records);

/// <summary>The profile.</summary>
public sealed class ProfileRecord(CampaignsDb db, TimeProvider clock) : IPersonalData
{
    public string Kind => "profile";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct) =>
        await db.Users.Where(u => u.AppNo == person.AppNo && u.Id == person.UserId).ExecuteDeleteAsync(ct);

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        var user = await db.Users.AsNoTracking().FirstOrDefaultAsync(u => u.AppNo == person.AppNo && u.Id == person.UserId, ct);
        if (user is not null) yield return UserView.Of(user, clock.GetUtcNow());
    }
}

/// <summary>The devices.</summary>
public sealed class DeviceRecords(CampaignsDb db) : IPersonalData
{
    public string Kind => "devices";

    public async ValueTask<long> EraseAsync(Person person, CancellationToken ct) =>
        await db.Devices.Where(d => d.AppNo == person.AppNo && d.UserId == person.UserId).ExecuteDeleteAsync(ct);

    public async IAsyncEnumerable<object> ExportAsync(Person person, [EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var device in await db.Devices.AsNoTracking().Where(d => d.AppNo == person.AppNo && d.UserId == person.UserId).OrderBy(d => d.DeviceId).ToListAsync(ct))
        {
            yield return DeviceView.Of(device);
        }
    }
}
