using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>The order and meaning of the groups, and the routes that are no controller's.</summary>
public sealed class WholeDocument : IDocumentFilter
{
    public void Apply(OpenApiDocument swaggerDoc, DocumentFilterContext context)
    {
        AddProbe(swaggerDoc, "/health/live", "Health_Live", "Whether the process runs.", "It runs.", null);
        AddProbe(swaggerDoc, "/health/ready", "Health_Ready", "Whether the service can work.", "It can.", "It cannot, because the database is away.");
        var used = swaggerDoc.Paths.Values.SelectMany(p => p.Operations ?? []).SelectMany(o => o.Value.Tags ?? new HashSet<OpenApiTagReference>()).Select(t => t.Reference.Id).ToHashSet();
        swaggerDoc.Tags = ApiText.Tags.Where(t => used.Contains(t.Name)).Select(t => new OpenApiTag { Name = t.Name, Description = t.Description }).ToHashSet();
    }

    private static void AddProbe(OpenApiDocument document, string path, string id, string summary, string healthy, string? unhealthy)
    {
        var operation = new OpenApiOperation
        {
            OperationId = id,
            Summary = summary,
            Tags = new HashSet<OpenApiTagReference> { new("Health", document) },
            Responses = new OpenApiResponses { ["200"] = Text(healthy, "Healthy") },
            Security = [],
        };
        if (unhealthy is not null) operation.Responses["503"] = Text(unhealthy, "Unhealthy");
        document.Paths[path] = new OpenApiPathItem { Operations = new Dictionary<HttpMethod, OpenApiOperation> { [HttpMethod.Get] = operation } };
    }

    private static OpenApiResponse Text(string description, string word) => new()
    {
        Description = description,
        Content = new Dictionary<string, IOpenApiMediaType>
        {
            ["text/plain"] = new OpenApiMediaType { Schema = new OpenApiSchema { Type = JsonSchemaType.String, Description = "One word." }, Example = word },
        },
    };
}
