using CampaignService.Feed;
using CampaignService.Idempotency;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>What the generator does not know of parameters: the defaults of query values, and what the ids in paths name.</summary>
public sealed class ParameterDetails : IParameterFilter, IOperationFilter
{
    /// <summary>By the parameter's name or, for <c>id</c>, by the word of the path before it.</summary>
    private static readonly Dictionary<string, string> InPath = new()
    {
        ["channels"] = "The id of the channel, or its `channelId`.",
        ["categories"] = "The id of the category, or its `categoryId`.",
        ["templates"] = "The id of the template, or its `templateId`.",
        ["campaigns"] = "The id of the campaign.",
        ["notifications"] = "The `notificationId` or the `batchId`.",
        ["notification-feed"] = "The id of the item.",
        ["users"] = "The id of the user.",
        ["segments"] = "The id of the segment.",
        ["webhooks"] = "The id of the webhook.",
        ["apps"] = "The id of the app.",
        ["userId"] = "The id of the user.",
        ["keyId"] = "The id of the key.",
        ["deviceId"] = "The id of the device.",
    };

    public void Apply(IOpenApiParameter parameter, ParameterFilterContext context)
    {
        if (parameter is OpenApiParameter own && own.Name == ActingUserAttribute.Header)
        {
            (own.Required, own.Description) = (false, "The user: 1 to 255 characters. Needed beside an `apiKey`; a user's token says who it is, and with it this may be left out.");
        }
        if (context.PropertyInfo is { ReflectedType: { } owner } member && parameter.Schema is OpenApiSchema schema) schema.Default = SchemaDetails.DefaultOf(owner, member);
    }

    public void Apply(OpenApiOperation operation, OperationFilterContext context)
    {
        var words = context.ApiDescription.RelativePath!.Split('/').ToList();
        foreach (var parameter in (operation.Parameters ?? []).OfType<OpenApiParameter>().Where(p => p.In == ParameterLocation.Path))
        {
            var word = parameter.Name == "id" ? words[words.IndexOf("{id}") - 1] : parameter.Name!;
            parameter.Description ??= InPath.GetValueOrDefault(word);
        }
        if (context.ApiDescription.HttpMethod == HttpMethods.Post && !context.ApiDescription.ActionDescriptor.EndpointMetadata.OfType<TakesNoKeyAttribute>().Any() && operation.RequestBody?.Content?.ContainsKey("multipart/form-data") != true)
        {
            (operation.Parameters ??= []).Add(new OpenApiParameter
            {
                Name = IdempotentRequest.Header,
                In = ParameterLocation.Header,
                Description = "A word of your own for this request, 1 to 255 characters. Sent again with the same key within 24 hours, it is not done again but answered as before.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = 255 },
            });
        }
    }
}
