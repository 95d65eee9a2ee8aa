using Microsoft.AspNetCore.Authorization;

namespace CampaignService.Tenancy;

/// <summary>What a key may do.</summary>
public static class Scopes
{
    /// <summary>Everything.</summary>
    public const string Full = "full";

    /// <summary>Campaigns, direct sends, and reading them.</summary>
    public const string Send = "send";

    /// <summary>Every GET.</summary>
    public const string Read = "read";

    /// <summary>The feed routes only.</summary>
    public const string Feed = "feed";

    public static readonly string[] All = [Full, Send, Read, Feed];
}

/// <summary>
/// Opens a controller or action to keys with one of the given scopes. A <c>full</c> key may do everything, a <c>read</c> key every GET.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class AllowScopeAttribute(params string[] scopes) : AuthorizeAttribute, IAuthorizationRequirement, IAuthorizationRequirementData
{
    public IReadOnlyList<string> Scopes { get; } = scopes;

    public IEnumerable<IAuthorizationRequirement> GetRequirements() => [this];

    /// <summary>Whether the caller's key opens it for this request.</summary>
    public bool Allows(HttpContext http) => http.User.HasClaim(ApiKeyAuthentication.ScopeClaim, Tenancy.Scopes.Full)
        || (HttpMethods.IsGet(http.Request.Method) && http.User.HasClaim(ApiKeyAuthentication.ScopeClaim, Tenancy.Scopes.Read))
        || Scopes.Any(s => http.User.HasClaim(ApiKeyAuthentication.ScopeClaim, s));
}

public sealed class ScopeCheck(IHttpContextAccessor http) : AuthorizationHandler<AllowScopeAttribute>
{
    protected override Task HandleRequirementAsync(AuthorizationHandlerContext context, AllowScopeAttribute requirement)
    {
        if (http.HttpContext is { } request && requirement.Allows(request)) context.Succeed(requirement);
        return Task.CompletedTask;
    }
}
