using System.Text.Json.Nodes;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>Bodies that work when they are sent in this order, and the two bodies that are no JSON.</summary>
public sealed class Examples : IOperationFilter
{
    private static readonly Dictionary<string, string> Bodies = new()
    {
        ["Channels_Create"] = """{"name": "App inbox", "type": "in_app", "channelId": "inbox"}""",
        ["Templates_Create"] = """
            {
              "name": "Spring sale",
              "status": "approved",
              "tags": ["sale"],
              "variableSchema": [
                {"key": "name", "required": true},
                {"key": "percent", "defaultValue": "10"}
              ],
              "channels": [
                {
                  "channelType": "in_app",
                  "content": {"title": "Hello {{name}}", "body": "{{percent}} % off {{ what | default: \"everything\" }}, this week only."}
                }
              ]
            }
            """,
        ["Campaigns_Create"] = """{"name": "Spring sale", "templateId": "cc-template-spring-sale", "tag": "sale", "variables": {"percent": "20"}}""",
        ["Users_Upsert"] = """{"users": [{"id": "ann", "name": "Ann Example", "role": "customer", "timezone": "Europe/Berlin"}, {"id": "bob", "attributes": {"plan": "gold"}}]}""",
        ["Recipients_Add"] = """{"userIds": ["ann", "bob"], "userVariables": {"ann": {"name": "Ann"}, "bob": {"name": "Bob", "percent": "30"}}}""",
    };

    private const string Csv = """
        user_id,channel_id,status,reason,detail,attempts,at
        ann,inbox,delivered,,,1,2026-03-01T09:00:00.000Z
        bob,inbox,skipped,missing_variable,name,0,2026-03-01T09:00:00.000Z

        """;

    public void Apply(OpenApiOperation operation, OperationFilterContext context)
    {
        if (operation.OperationId is not { } id) return;
        if (Bodies.TryGetValue(id, out var example) && operation.RequestBody?.Content?["application/json"] is OpenApiMediaType body) body.Example = JsonNode.Parse(example);
        if (id == "Recipients_Upload") operation.RequestBody = Upload();
        if (id == "Recipients_Export" && operation.Responses?["200"] is OpenApiResponse answer) answer.Content = Ledger();
    }

    private static OpenApiRequestBody Upload() => new()
    {
        Required = true,
        Description = "The two parts, in either order.",
        Content = new Dictionary<string, IOpenApiMediaType>
        {
            ["multipart/form-data"] = new OpenApiMediaType
            {
                Schema = new OpenApiSchema
                {
                    Type = JsonSchemaType.Object,
                    Required = new HashSet<string> { "file", "campaignId" },
                    Properties = new Dictionary<string, IOpenApiSchema>
                    {
                        ["campaignId"] = new OpenApiSchema { Type = JsonSchemaType.String, Description = "The id of a draft." },
                        ["file"] = new OpenApiSchema { Type = JsonSchemaType.String, Format = "binary", Description = "The CSV file." },
                    },
                },
                Encoding = new Dictionary<string, OpenApiEncoding> { ["file"] = new() { ContentType = "text/csv" } },
            },
        },
    };

    private static Dictionary<string, IOpenApiMediaType> Ledger() => new()
    {
        ["text/csv"] = new OpenApiMediaType { Schema = new OpenApiSchema { Type = JsonSchemaType.String, Description = "A header, then a line for each message." }, Example = Csv },
    };
}
