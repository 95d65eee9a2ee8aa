using System.Text.RegularExpressions;
using CampaignService.IntegrationTests.Support;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Mvc.Controllers;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace CampaignService.IntegrationTests.Tenancy;

/// <summary>One route of the service, as the service itself lists it: a route added later is here by itself.</summary>
public sealed partial record Route(string Method, string Pattern)
{
    /// <summary>What the path begins with, such as "templates".</summary>
    public string Area => Pattern.StartsWith("api/templates/categories", StringComparison.Ordinal) ? "categories" : Pattern.Split('/', '{')[Pattern.StartsWith("api/", StringComparison.Ordinal) ? 1 : 0];

    public bool IsGet => Method == "GET";

    /// <summary>For whoever runs the service: not a matter of apps.</summary>
    public bool IsOperators => Area == "apps";

    public bool HasId => Pattern.Contains("{id", StringComparison.Ordinal);

    public static IReadOnlyList<Route> AllOf(TestService service) =>
    [
        .. from endpoint in service.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
           where endpoint.Metadata.GetMetadata<ControllerActionDescriptor>() is not null || endpoint.Metadata.GetMetadata<AllowScopeAttribute>() is not null
           from method in endpoint.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods
           orderby endpoint.RoutePattern.RawText, method
           select new Route(method, endpoint.RoutePattern.RawText!.TrimStart('/')),
    ];

    /// <summary>The path with every parameter filled in.</summary>
    public string Path(Func<string, string> valueOf) => "/" + Parameter().Replace(Pattern, m => Uri.EscapeDataString(valueOf(m.Groups[1].Value)));

    /// <summary>Calls it and does not read the answer of a stream, which has no end.</summary>
    public async Task<Answer> CallAsync(Api api, string path, object? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(Method), path);
        if (!IsGet && Method != "DELETE") request.Content = System.Net.Http.Json.JsonContent.Create(body ?? new { });
        using var response = await api.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        return response.Content.Headers.ContentType?.MediaType == "text/event-stream"
            ? new Answer(response.StatusCode, "", response.Headers, "text/event-stream")
            : await Answer.OfAsync(response);
    }

    public override string ToString() => $"{Method} /{Pattern}";

    [GeneratedRegex(@"\{\**(\w+)[^}]*\}")]
    private static partial Regex Parameter();
}
