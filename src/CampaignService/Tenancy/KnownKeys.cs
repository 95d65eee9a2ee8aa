using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Security.Claims;
using System.Security.Cryptography;
using CampaignService.Data;
using Microsoft.AspNetCore.Authentication;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Tenancy;

/// <summary>The keys of each app, kept for a few seconds so that a request does not cost a query. A deleted key is out within that time on every process.</summary>
public sealed class KnownKeys(IServiceScopeFactory scopes, TimeProvider clock)
{
    /// <summary>The contract allows 5 s until a deletion is in force everywhere.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(4);

    private readonly ConcurrentDictionary<string, Entry> _apps = new();

    public sealed record Entry(int AppNo, IReadOnlyList<Known> Keys, long ReadAt)
    {
        private bool _isBeingReadAgain;

        /// <returns>True once.</returns>
        internal bool MayReadAgain() => !Interlocked.Exchange(ref _isBeingReadAgain, true);
    }

    /// <param name="Hash">The key's.</param>
    /// <param name="Holder">Who shows it, made once and shared by all requests.</param>
    public sealed record Known(byte[] Hash, ClaimsPrincipal Holder)
    {
        /// <summary>What the framework is told of them.</summary>
        public AuthenticateResult Entrance { get; } = AuthenticateResult.Success(new AuthenticationTicket(Holder, ApiKeyAuthentication.SchemeName));
    }

    /// <returns>Null when there is no such app.</returns>
    public async ValueTask<Entry?> OfAsync(string appId, CancellationToken ct)
    {
        if (_apps.TryGetValue(appId, out var known) && clock.GetElapsedTime(known.ReadAt) is var age && age < Fresh)
        {
            if (age > Fresh / 2 && known.MayReadAgain()) _ = ReadAgainAsync(appId, known);
            return known;
        }
        if (await ReadAsync(appId, ct) is { } entry) return _apps[appId] = entry;
        _apps.TryRemove(appId, out _);
        return null;
    }

    /// <summary>Before it is old, so that of those who call all the time nobody waits for it.</summary>
    private async Task ReadAgainAsync(string appId, Entry known)
    {
        try
        {
            // What was forgotten meanwhile was changed, perhaps after this was read.
            if (await ReadAsync(appId, CancellationToken.None) is { } entry) _apps.TryUpdate(appId, entry, known);
        }
        catch (Exception)
        {
            // The database is away: whoever comes when this is old is told.
        }
    }

    private async Task<Entry?> ReadAsync(string appId, CancellationToken ct)
    {
        var readAt = clock.GetTimestamp();
        await using var scope = scopes.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<CampaignsDb>();
        var app = await db.Apps.AsNoTracking().FirstOrDefaultAsync(a => a.Id == appId, ct);
        if (app is null) return null;
        var keys = await db.ApiKeys.AsNoTracking().Where(k => k.AppNo == app.No).ToListAsync(ct);
        return new Entry(app.No, [.. keys.Select(k => new Known(k.Hash, ApiKeyAuthentication.HolderOf(app, k)))], readAt);
    }

    /// <summary>The last that was looked at in a thread: who calls thousands of times a second shows the same each time, and to hash it anew costs more than the rest of the look.</summary>
    [ThreadStatic]
    private static (string Key, byte[] Hash)? _last;

    private static byte[] HashOf(string key)
    {
        if (_last is { } last && CryptographicOperations.FixedTimeEquals(MemoryMarshal.AsBytes(key.AsSpan()), MemoryMarshal.AsBytes(last.Key.AsSpan()))) return last.Hash;
        var hash = ApiKey.HashOf(key);
        _last = (key, hash);
        return hash;
    }

    /// <returns>Who shows the key, or null when the app has no such key.</returns>
    public async ValueTask<Known?> FindAsync(string appId, string key, CancellationToken ct)
    {
        var app = await OfAsync(appId, ct);
        var hash = HashOf(key);
        // Every key is compared, and each in constant time: how long this takes says nothing about which key was nearly right.
        Known? match = null;
        foreach (var candidate in app?.Keys ?? [])
        {
            if (CryptographicOperations.FixedTimeEquals(candidate.Hash, hash)) match = candidate;
        }
        return match;
    }

    /// <summary>This process made or deleted a key: it need not wait.</summary>
    public void Forget(string appId) => _apps.TryRemove(appId, out _);
}
