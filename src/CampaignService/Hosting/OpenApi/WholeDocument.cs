using System.Text.Json.Nodes;
using CampaignService.Common;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>The order and meaning of the groups, and the routes that are no controller's.</summary>
public sealed class WholeDocument : IDocumentFilter
{
    public void Apply(OpenApiDocument swaggerDoc, DocumentFilterContext context)
    {
        AddProbe(swaggerDoc, "/health/live", "Health_Live", "Whether the process runs.", new() { ["200"] = Text("It runs.", "Healthy") });
        AddProbe(swaggerDoc, "/health/ready", "Health_Ready", "Whether the service can work, and a detail for each check: `work` is `Degraded` when work that is due makes no progress.",
            new()
            {
                ["200"] = Health("It can.", "Healthy"),
                ["503"] = Health("It cannot, because the database is away.", "Unhealthy"),
            });
        AddProbe(swaggerDoc, "/metrics", "Metrics_Read",
            "What this process has counted, for Prometheus. With the setting `Metrics__Key` it asks for that key, as `Authorization: Bearer …` or in the header `metricsKey`.",
            new()
            {
                ["200"] = Text("The text format of Prometheus.", "campaigns_messages_total{channel_type=\"in_app\",status=\"delivered\"} 100000\n"),
                ["401"] = new OpenApiResponse { Description = "`ERR_UNAUTHORIZED`: the key is missing or wrong.", Content = Content("application/problem+json", new OpenApiSchemaReference(nameof(Problem), swaggerDoc)) },
            });
        var used = swaggerDoc.Paths.Values.SelectMany(p => p.Operations ?? []).SelectMany(o => o.Value.Tags ?? new HashSet<OpenApiTagReference>()).Select(t => t.Reference.Id).ToHashSet();
        swaggerDoc.Tags = ApiText.Tags.Where(t => used.Contains(t.Name)).Select(t => new OpenApiTag { Name = t.Name, Description = t.Description }).ToHashSet();
    }

    private static void AddProbe(OpenApiDocument document, string path, string id, string summary, OpenApiResponses answers)
    {
        var operation = new OpenApiOperation
        {
            OperationId = id,
            Summary = summary,
            Tags = new HashSet<OpenApiTagReference> { new("Health", document) },
            Responses = answers,
            Security = [],
        };
        document.Paths[path] = new OpenApiPathItem { Operations = new Dictionary<HttpMethod, OpenApiOperation> { [HttpMethod.Get] = operation } };
    }

    private static OpenApiResponse Text(string description, string example) =>
        new() { Description = description, Content = Content("text/plain", new OpenApiSchema { Type = JsonSchemaType.String }, example) };

    private static OpenApiResponse Health(string description, string status) => new()
    {
        Description = description,
        Content = new Dictionary<string, IOpenApiMediaType>
        {
            ["application/json"] = new OpenApiMediaType
            {
                Schema = new OpenApiSchema { Type = JsonSchemaType.Object },
                Example = new JsonObject { ["status"] = status, ["checks"] = new JsonObject { ["database"] = Check(status), ["work"] = Check("Healthy") } },
            },
        },
    };

    private static JsonObject Check(string status) => new() { ["status"] = status, ["detail"] = null };

    private static Dictionary<string, IOpenApiMediaType> Content(string type, IOpenApiSchema schema, string? example = null) =>
        new() { [type] = new OpenApiMediaType { Schema = schema, Example = example } };
}
