using System.Buffers.Binary;
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace CampaignService.Users;

/// <summary>Whom a token stands for.</summary>
public sealed record TokenHolder(Person Person, string AppId);

/// <summary>
/// Makes and reads the tokens by which a person's own device reads their feed. A token holds app, person and times, signed with a key that
/// all processes share, so taking one costs no query; only erased people are remembered, for as long as a token of theirs could live.
/// </summary>
public sealed class UserTokens(byte[] secret, NpgsqlDataSource source, TimeProvider clock) : IDisposable
{
    /// <summary>The shortest and the longest life of a token in seconds: a minute and 30 days.</summary>
    public const int MinSeconds = 60, MaxSeconds = 30 * 24 * 60 * 60;

    private const string Prefix = "cut_";
    private const int TagLength = 32, HeadLength = sizeof(int) + 2 * sizeof(long) + 1;

    /// <summary>How late an erasure by another process may be noticed.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _reading = new(1);
    private readonly ConcurrentDictionary<string, DateTimeOffset> _cuts = new();
    private DateTimeOffset _readUpTo = DateTimeOffset.UnixEpoch;
    private long _readAt;

    public (string Token, DateTimeOffset ExpiresAt) Issue(TokenHolder holder, TimeSpan life)
    {
        var now = clock.GetUtcNow();
        var (issued, expires) = (now.ToUnixTimeMilliseconds(), (now + life).ToUnixTimeMilliseconds());
        // Made after the erasure it counts as such, though the clock that was looked at for that may be a little ahead of this one.
        if (_cuts.TryGetValue(KeyOf(holder.Person), out var cut)) issued = Math.Max(issued, cut.ToUnixTimeMilliseconds() + 1);
        var (app, user) = (Encoding.UTF8.GetBytes(holder.AppId), Encoding.UTF8.GetBytes(holder.Person.UserId));
        var body = new byte[HeadLength + app.Length + user.Length];
        BinaryPrimitives.WriteInt32BigEndian(body, holder.Person.AppNo);
        BinaryPrimitives.WriteInt64BigEndian(body.AsSpan(4), issued);
        BinaryPrimitives.WriteInt64BigEndian(body.AsSpan(12), expires);
        // Ids of apps have at most 200 ASCII characters.
        body[20] = (byte)app.Length;
        app.CopyTo(body, HeadLength);
        user.CopyTo(body, HeadLength + app.Length);
        return (Prefix + Base64Url.EncodeToString([.. HMACSHA256.HashData(secret, body), .. body]), DateTimeOffset.FromUnixTimeMilliseconds(expires));
    }

    /// <returns>Null when this is no token of ours, has expired, or is older than its person's erasure.</returns>
    public async ValueTask<TokenHolder?> ReadAsync(string token, CancellationToken ct)
    {
        if (!token.StartsWith(Prefix, StringComparison.Ordinal) || !Base64Url.IsValid(token.AsSpan(Prefix.Length))) return null;
        var bytes = Base64Url.DecodeFromChars(token.AsSpan(Prefix.Length));
        // Only as Issue writes it: base64url as such would also take padding, white space and loose bits at the end.
        if (bytes.Length < TagLength + HeadLength || Base64Url.EncodeToString(bytes) != token[Prefix.Length..]) return null;
        var body = bytes.AsMemory(TagLength);
        if (!CryptographicOperations.FixedTimeEquals(bytes.AsSpan(0, TagLength), HMACSHA256.HashData(secret, body.Span))) return null;
        var (issued, expires) = (TimeAt(body, 4), TimeAt(body, 12));
        if (expires <= clock.GetUtcNow()) return null;
        var app = body.Slice(HeadLength, body.Span[20]);
        var person = new Person(BinaryPrimitives.ReadInt32BigEndian(body.Span), Encoding.UTF8.GetString(body.Span[(HeadLength + app.Length)..]));
        await RefreshAsync(ct);
        return _cuts.TryGetValue(KeyOf(person), out var notBefore) && issued <= notBefore ? null : new TokenHolder(person, Encoding.UTF8.GetString(app.Span));
    }

    /// <summary>Tokens made for this person until now are useless: at once here, within 5 s on every other process.</summary>
    public async Task CutAsync(Person person, CancellationToken ct)
    {
        // The later of both clocks: ours may be a little ahead, and has stamped the tokens made here; others' follow the database's.
        // token_cuts' key, and its index on not_before: what no living token can be older than is forgotten.
        await using var command = source.CreateCommand("""
            WITH old AS (
              DELETE FROM token_cuts WHERE not_before < clock_timestamp() - make_interval(secs => $3) - interval '1 hour' AND (app_no, user_hash) <> ($1, $2))
            INSERT INTO token_cuts (app_no, user_hash, not_before) VALUES ($1, $2, greatest(clock_timestamp(), $4))
            ON CONFLICT (app_no, user_hash) DO UPDATE SET not_before = greatest(token_cuts.not_before, excluded.not_before) RETURNING not_before
            """);
        command.Parameters.Add(new() { Value = person.AppNo });
        command.Parameters.Add(new() { Value = HashOf(person) });
        command.Parameters.Add(new() { Value = (double)MaxSeconds });
        command.Parameters.Add(new() { Value = clock.GetUtcNow() });
        _cuts[KeyOf(person)] = new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(ct))!);
    }

    public void Dispose() => _reading.Dispose();

    /// <summary>Reads who was erased since the last time, at most every 5 s.</summary>
    private async ValueTask RefreshAsync(CancellationToken ct)
    {
        if (IsFresh()) return;
        await _reading.WaitAsync(ct);
        try
        {
            if (IsFresh()) return;
            var (readAt, upTo) = (clock.GetTimestamp(), clock.GetUtcNow());
            // index on not_before
            await using var command = source.CreateCommand("SELECT app_no, user_hash, not_before FROM token_cuts WHERE not_before >= $1");
            command.Parameters.Add(new() { Value = _readUpTo });
            await using (var reader = await command.ExecuteReaderAsync(ct))
            {
                while (await reader.ReadAsync(ct)) _cuts[KeyOf(reader.GetInt32(0), reader.GetFieldValue<byte[]>(1))] = reader.GetFieldValue<DateTimeOffset>(2);
            }
            // Somebody may be about to commit what bears an earlier time.
            _readUpTo = upTo.AddMinutes(-1);
            Volatile.Write(ref _readAt, readAt);
        }
        finally
        {
            _reading.Release();
        }
    }

    private bool IsFresh() => Volatile.Read(ref _readAt) is var last and not 0 && clock.GetElapsedTime(last) < Fresh;

    private string KeyOf(Person person) => KeyOf(person.AppNo, HashOf(person));

    private static string KeyOf(int appNo, byte[] hash) => $"{appNo}:{Convert.ToBase64String(hash)}";

    private byte[] HashOf(Person person) => HMACSHA256.HashData(secret, Encoding.UTF8.GetBytes($"cut {person.AppNo} {person.UserId}"));

    private static DateTimeOffset TimeAt(ReadOnlyMemory<byte> body, int at) => DateTimeOffset.FromUnixTimeMilliseconds(BinaryPrimitives.ReadInt64BigEndian(body.Span[at..]));
}
