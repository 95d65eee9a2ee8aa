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
}

public sealed class ScopeCheck(IHttpContextAccessor http) : AuthorizationHandler<AllowScopeAttribute>
{
    protected override Task HandleRequirementAsync(AuthorizationHandlerContext context, AllowScopeAttribute requirement)
    {
        var isGet = http.HttpContext is { } h && HttpMethods.IsGet(h.Request.Method);
        if (context.User.HasClaim(ApiKeyAuthentication.ScopeClaim, Scopes.Full)
            || (isGet && context.User.HasClaim(ApiKeyAuthentication.ScopeClaim, Scopes.Read))
            || requirement.Scopes.Any(s => context.User.HasClaim(ApiKeyAuthentication.ScopeClaim, s)))
        {
            context.Succeed(requirement);
        }
        return Task.CompletedTask;
    }
}
