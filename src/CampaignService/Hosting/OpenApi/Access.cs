using CampaignService.Tenancy;
using Microsoft.AspNetCore.Authorization;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>Which headers open which operation.</summary>
public sealed class Access : IOperationFilter
{
    private const string AppId = "appId", ApiKey = "apiKey", OperatorKey = "operatorKey", UserToken = "userToken";

    public static void Define(SwaggerGenOptions options)
    {
        options.AddSecurityDefinition(AppId, Header(AppId, "The id of the app; `demo` with the embedded database in Development."));
        options.AddSecurityDefinition(ApiKey, Header(ApiKey, "A key of that app; `demo-key` with the embedded database in Development."));
        options.AddSecurityDefinition(UserToken, new OpenApiSecurityScheme
        {
            Type = SecuritySchemeType.Http,
            Scheme = "bearer",
            Description = "For feed routes, alone: a user's token from `POST /api/users/{id}/tokens`.",
        });
        options.AddSecurityDefinition(OperatorKey, Header(OperatorKey, "For `/api/apps` only: what `Operator__Key` is set to."));
    }

    public static bool IsForOperator(OperationFilterContext context) =>
        Rules(context).Any(rule => rule.AuthenticationSchemes == OperatorAuthentication.SchemeName);

    private static bool IsForUsers(OperationFilterContext context) => Rules(context).OfType<AllowScopeAttribute>().Any(rule => rule.Scopes.Contains(Scopes.Feed));

    public static string ScopesOf(OperationFilterContext context)
    {
        var scopes = Rules(context).OfType<AllowScopeAttribute>().SelectMany(rule => rule.Scopes).Prepend(Scopes.Full);
        if (HttpMethods.IsGet(context.ApiDescription.HttpMethod!)) scopes = scopes.Append(Scopes.Read);
        return string.Join(", ", scopes.Distinct().Select(scope => $"`{scope}`"));
    }

    public void Apply(OpenApiOperation operation, OperationFilterContext context)
    {
        string[] schemes = IsForOperator(context) ? [OperatorKey] : [AppId, ApiKey];
        var requirement = new OpenApiSecurityRequirement();
        foreach (var scheme in schemes) requirement.Add(new OpenApiSecuritySchemeReference(scheme, context.Document), []);
        operation.Security = [requirement];
        if (IsForUsers(context)) operation.Security.Add(new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(UserToken, context.Document)] = [] });
    }

    private static IEnumerable<IAuthorizeData> Rules(OperationFilterContext context) =>
        context.ApiDescription.ActionDescriptor.EndpointMetadata.OfType<IAuthorizeData>();

    private static OpenApiSecurityScheme Header(string name, string description) =>
        new() { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = name, Description = description };
}
