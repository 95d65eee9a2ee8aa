using System.Globalization;
using System.Security.Claims;
using System.Text.Encodings.Web;
using CampaignService.Common;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace CampaignService.Tenancy;

/// <summary>Lets in by the headers <c>appId</c> and <c>apiKey</c>.</summary>
public sealed class ApiKeyAuthentication(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, KnownKeys keys)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "ApiKey", AppNoClaim = "app_no", AppIdClaim = "app_id", ScopeClaim = "scope", KeyIdClaim = "key_id";

    /// <summary>Names the only user for whom the caller may speak, who shows a token of that user's.</summary>
    public const string UserClaim = "user_id";

    protected override Task<AuthenticateResult> HandleAuthenticateAsync() => AuthenticateAsync(Context, keys).AsTask();

    public static async ValueTask<AuthenticateResult> AuthenticateAsync(HttpContext http, KnownKeys keys)
    {
        string? appId = http.Request.Headers["appId"], key = http.Request.Headers["apiKey"];
        if (string.IsNullOrEmpty(appId) || string.IsNullOrEmpty(key) || appId.Contains('\0', StringComparison.Ordinal)) return AuthenticateResult.NoResult();
        return await keys.FindAsync(appId, key, http.RequestAborted) is { } known ? known.Entrance : AuthenticateResult.Fail("unknown");
    }

    public static ClaimsPrincipal HolderOf(App app, ApiKey key)
    {
        var identity = new ClaimsIdentity(SchemeName);
        identity.AddClaim(new Claim(AppNoClaim, app.No.ToString(CultureInfo.InvariantCulture)));
        identity.AddClaim(new Claim(AppIdClaim, app.Id));
        identity.AddClaim(new Claim(KeyIdClaim, key.Id));
        foreach (var scope in key.Scopes) identity.AddClaim(new Claim(ScopeClaim, scope));
        return new ClaimsPrincipal(identity);
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties) => Problem.WriteAsync(Context, Errors.Unauthorized(
        Request.Headers.ContainsKey("appId") && Request.Headers.ContainsKey("apiKey")
            ? "The app or its key is not known. Check the headers appId and apiKey."
            : "Send the headers appId and apiKey."));

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) => Problem.WriteAsync(Context, Errors.Forbidden(
        $"This key has the scopes {string.Join(", ", Context.User.FindAll(ScopeClaim).Select(c => c.Value))}, which do not cover this call. Use a key with a wider scope."));
}
