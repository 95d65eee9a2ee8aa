using System.Globalization;
using System.Security.Claims;
using System.Text.Encodings.Web;
using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace CampaignService.Users;

/// <summary>
/// Lets a person's own device in by <c>Authorization: Bearer</c> and a token, to feed routes and nothing else, as that person and nobody else.
/// Beside an <c>apiKey</c> it is not looked at: who has a key may speak for anybody.
/// </summary>
public sealed class UserTokenAuthentication(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, UserTokens tokens)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "UserToken";

    private const string Bearer = "Bearer ";

    /// <summary>The scheme that is asked in place of the API key's, or null when the key's is right.</summary>
    public static string? SchemeOf(HttpContext http) =>
        http.Request.Headers.Authorization.ToString().StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) && !http.Request.Headers.ContainsKey("apiKey") ? SchemeName : null;

    /// <returns>The token that the caller comes with, or null when it comes with a key.</returns>
    public static string? TokenOf(HttpContext http) => SchemeOf(http) is null ? null : http.Request.Headers.Authorization.ToString()[Bearer.Length..].Trim();

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (await tokens.ReadAsync(TokenOf(Context) ?? "", Context.RequestAborted) is not { } holder) return AuthenticateResult.Fail("unknown, expired or revoked");
        if (Request.Headers.TryGetValue("appId", out var appId) && appId != holder.AppId) return AuthenticateResult.Fail("of another app");
        var identity = new ClaimsIdentity(SchemeName);
        identity.AddClaim(new Claim(ApiKeyAuthentication.AppNoClaim, holder.Person.AppNo.ToString(CultureInfo.InvariantCulture)));
        identity.AddClaim(new Claim(ApiKeyAuthentication.AppIdClaim, holder.AppId));
        identity.AddClaim(new Claim(ApiKeyAuthentication.ScopeClaim, Scopes.Feed));
        identity.AddClaim(new Claim(ApiKeyAuthentication.UserClaim, holder.Person.UserId));
        return AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), SchemeName));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties) =>
        Problem.WriteAsync(Context, Errors.Unauthorized("The token is not valid, has expired, or is of another app. Ask your server for a new one."));

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) =>
        Problem.WriteAsync(Context, Errors.Forbidden("A user's token opens feed routes only. Other calls take the headers appId and apiKey."));
}
