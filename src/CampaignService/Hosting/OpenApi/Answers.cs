using CampaignService.Common;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>
/// The answers of each operation: what its comments say, and the refusals that follow from its shape. Bodies are named by the one media type that counts.
/// </summary>
public sealed class Answers : IOperationFilter
{
    private const string JsonType = "application/json", ProblemType = "application/problem+json";

    public void Apply(OpenApiOperation operation, OperationFilterContext context)
    {
        operation.Responses ??= [];
        foreach (var (status, description) in Refusals(operation, context)) operation.Responses.TryAdd(status, new OpenApiResponse { Description = description });
        foreach (var (status, answer) in operation.Responses.ToList())
        {
            if (answer is not OpenApiResponse own) continue;
            if (status[0] is '4' or '5') own.Content = new Dictionary<string, IOpenApiMediaType> { [ProblemType] = new OpenApiMediaType { Schema = ProblemSchema(context) } };
            else own.Content = Narrowed(own.Content);
            if (status == "503") own.Headers = new Dictionary<string, IOpenApiHeader> { ["Retry-After"] = RetryAfter() };
        }
        Sort(operation.Responses);
        if (operation.RequestBody is not OpenApiRequestBody body) return;
        body.Content = Narrowed(body.Content);
        body.Required = context.ApiDescription.ParameterDescriptions.Any(p => p.Source == BindingSource.Body && p.IsRequired);
    }

    private static IEnumerable<(string Status, string Description)> Refusals(OpenApiOperation operation, OperationFilterContext context)
    {
        var path = context.ApiDescription.RelativePath!;
        yield return ("400", "`ERR_BAD_REQUEST`: every fault of the request stands in `error.details`.");
        yield return ("401", "`ERR_UNAUTHORIZED`: the headers are missing, or what they hold is not known.");
        if (!Access.IsForOperator(context)) yield return ("403", $"`ERR_FORBIDDEN`: the key has none of the scopes {Access.ScopesOf(context)}.");
        if (path.Contains('{', StringComparison.Ordinal)) yield return ("404", "`ERR_NOT_FOUND`: there is no such object in this app.");
        if (!HttpMethods.IsGet(context.ApiDescription.HttpMethod!))
            yield return ("409", "`ERR_INVALID_STATE`: its state forbids this. `ERR_CONFLICT`: a name or id is taken, or another request was faster.");
        if (operation.RequestBody is not null)
        {
            yield return ("413", "`ERR_TOO_LARGE`: the body is over 32 MiB.");
            yield return ("415", "`ERR_UNSUPPORTED_MEDIA_TYPE`: the body is of another type.");
        }
        yield return ("503", "`ERR_UNAVAILABLE`: the database cannot be reached. Nothing was changed; try again.");
    }

    private static IOpenApiSchema ProblemSchema(OperationFilterContext context) => context.SchemaGenerator.GenerateSchema(typeof(Problem), context.SchemaRepository);

    private static IDictionary<string, IOpenApiMediaType>? Narrowed(IDictionary<string, IOpenApiMediaType>? content) =>
        content is not null && content.TryGetValue(JsonType, out var json) ? new Dictionary<string, IOpenApiMediaType> { [JsonType] = json } : content;

    private static OpenApiHeader RetryAfter() =>
        new() { Description = "Seconds to wait.", Schema = new OpenApiSchema { Type = JsonSchemaType.Integer, Minimum = "1" } };

    private static void Sort(OpenApiResponses answers)
    {
        var sorted = answers.OrderBy(a => a.Key, StringComparer.Ordinal).ToList();
        answers.Clear();
        foreach (var (status, answer) in sorted) answers.Add(status, answer);
    }
}
