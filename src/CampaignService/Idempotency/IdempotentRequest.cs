using System.Security.Cryptography;
using System.Text;
using CampaignService.Common;
using CampaignService.Data;

namespace CampaignService.Idempotency;

/// <summary>A request that carries an <c>Idempotency-Key</c>.</summary>
/// <param name="AppNo">The app; keys of two apps are two keys, and those of the operator are nobody else's.</param>
/// <param name="Key">As given, 1 to 255 characters; behind the id of a user who calls by a token of their own, so that theirs are not the backend's.</param>
/// <param name="Digest">SHA-256 of method, path and query, on whose behalf, and the bytes of the body: what makes it the same request.</param>
/// <param name="Person">Whom it is about, where it is about one: the answer goes when they are erased.</param>
public sealed record IdempotentRequest(int AppNo, string Key, byte[] Digest, string? Person = null)
{
    public const string Header = "Idempotency-Key", ReplayedHeader = "Idempotency-Replayed";

    /// <param name="http">The request.</param>
    /// <param name="appNo">Its app.</param>
    /// <param name="holder">The user whose token it came with.</param>
    /// <param name="person">The user on whose behalf it is made, or whom its path names.</param>
    /// <param name="body">Its body.</param>
    public static IdempotentRequest Of(HttpContext http, int appNo, string? holder, string? person, ReadOnlySpan<byte> body)
    {
        string key = http.Request.Headers[Header]!;
        if (Text.Length(key) is 0 or > 255 || key.Contains('\0', StringComparison.Ordinal)) throw new ApiException(Errors.BadRequest($"{Header}: must have 1 to 255 characters"));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{http.Request.Method}\n{http.Request.Path}{http.Request.QueryString}\n{person}\n"));
        hash.AppendData(body);
        return new IdempotentRequest(appNo, holder is null ? key : $"{holder}\n{key}", hash.GetHashAndReset(), person);
    }
}

/// <summary>An answer as it is kept, to be given again.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Body">JSON, or nothing.</param>
/// <param name="Location">The header of that name.</param>
public sealed record KeptAnswer(int Status, byte[] Body, string? Location = null)
{
    /// <summary>Whether such an answer is kept: what depends on the caller's rights, on a limit or on a fault of ours may be another one next time.</summary>
    public static bool IsKept(int status) => status is < 500 and not (401 or 403 or 429 or 499);

    /// <summary>As it is kept where its body holds a secret, such as a key that is shown once.</summary>
    public KeptAnswer Sealed(SecretBox box, IdempotentRequest request) => this with { Body = box.Seal(Encoding.UTF8.GetString(Body), OwnerOf(request)) };

    /// <exception cref="ApiException">409: what it was sealed with is not at hand any more.</exception>
    public KeptAnswer Opened(SecretBox box, IdempotentRequest request)
    {
        try
        {
            return this with { Body = Encoding.UTF8.GetBytes(box.Open(Body, OwnerOf(request))) };
        }
        catch (CryptographicException)
        {
            throw new ApiException(Errors.IdempotencyAnswerLost());
        }
    }

    private static string OwnerOf(IdempotentRequest request) => $"idempotency {request.AppNo} {request.Key}";

    public async Task WriteAsync(HttpContext http, bool replayed)
    {
        http.Response.StatusCode = Status;
        if (replayed) http.Response.Headers[IdempotentRequest.ReplayedHeader] = "true";
        if (Location is not null) http.Response.Headers.Location = Location;
        if (Body.Length == 0) return;
        http.Response.ContentType = Status >= 400 ? "application/problem+json" : "application/json; charset=utf-8";
        http.Response.ContentLength = Body.Length;
        await http.Response.BodyWriter.WriteAsync(Body, http.RequestAborted);
    }
}
