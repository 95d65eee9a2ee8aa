using System.Globalization;
using System.Xml.Linq;
using CampaignService.Common;
using CampaignService.Hosting.OpenApi;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting;

/// <summary>The OpenAPI document at <c>/swagger/v1/swagger.json</c> and Swagger UI at <c>/swagger</c>, unless <c>Swagger__Enabled</c> is false.</summary>
public static class OpenApiSetup
{
    private static readonly string[] Methods = ["POST", "GET", "PUT", "PATCH", "DELETE"];

    public static void AddOpenApi(this WebApplicationBuilder builder)
    {
        // Before AddSwaggerGen, which adds its own only where there is none.
        builder.Services.AddSingleton<ISerializerDataContractResolver, ContractTypes>();
        builder.Services.AddSwaggerGen(options =>
        {
            options.SwaggerDoc("v1", new OpenApiInfo { Title = "Campaigns", Version = "v1", Description = ApiText.Description });
            options.IncludeXmlComments(typeof(Problem).Assembly);
            options.DescribeAllParametersInCamelCase();
            options.SupportNonNullableReferenceTypes();
            options.CustomOperationIds(IdOf);
            options.CustomSchemaIds(NameOf);
            options.OrderActionsBy(SortKeyOf);
            options.MapType<RawJson>(() => new OpenApiSchema());
            options.MapType<RawJson?>(() => new OpenApiSchema());
            Access.Define(options);
            options.SchemaFilter<SchemaDetails>(XDocument.Load(Path.ChangeExtension(typeof(Problem).Assembly.Location, ".xml")));
            options.ParameterFilter<ParameterDetails>();
            options.OperationFilter<ParameterDetails>();
            options.OperationFilter<Examples>();
            options.OperationFilter<Access>();
            options.OperationFilter<Answers>();
            options.DocumentFilter<WholeDocument>();
        });
    }

    public static void MapOpenApi(this WebApplication app)
    {
        if (!app.Configuration.GetValue("Swagger:Enabled", true)) return;
        // 3.1: in 3.0 a member whose type is named elsewhere could have no description of its own.
        app.MapSwagger(setupAction: options => options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1);
        app.UseWhen(http => http.Request.Path.StartsWithSegments("/swagger"), pages => pages.UseSwaggerUI(options =>
        {
            options.DocumentTitle = "Campaigns API";
            options.EnablePersistAuthorization();
            options.EnableDeepLinking();
            options.DisplayRequestDuration();
            options.DefaultModelsExpandDepth(0);
        }));
    }

    /// <summary>The group and the action, such as <c>Campaigns_Create</c>.</summary>
    private static string IdOf(ApiDescription api)
    {
        var words = GroupOf(api).Split(' ').Select(word => char.ToUpper(word[0], CultureInfo.InvariantCulture) + word[1..]);
        // The same action by a second path needs a name of its own.
        var alias = api.RelativePath!.StartsWith("api/", StringComparison.Ordinal) ? "" : "ByShortPath";
        var action = api.TryGetMethodInfo(out var method) ? method.Name : throw new InvalidOperationException($"{api.RelativePath} has no method.");
        return $"{string.Concat(words)}_{action}{alias}";
    }

    /// <summary>The contract's name as a caller would give it: <c>Campaign</c>, not <c>CampaignView</c>, and <c>PageOfCampaign</c>.</summary>
    private static string NameOf(Type type)
    {
        var name = type.Name.Split('`')[0];
        if (type.IsGenericType) return $"{name}Of{string.Concat(type.GetGenericArguments().Select(NameOf))}";
        return name.EndsWith("View", StringComparison.Ordinal) ? name[..^"View".Length] : name;
    }

    /// <summary>As groups come in the document, and within one by path, with what makes an object before what reads it.</summary>
    private static string SortKeyOf(ApiDescription api) =>
        $"{Array.FindIndex(ApiText.Tags, t => t.Name == GroupOf(api)):00} {api.RelativePath} {Array.IndexOf(Methods, api.HttpMethod)}";

    private static string GroupOf(ApiDescription api) => api.ActionDescriptor.EndpointMetadata.OfType<ITagsMetadata>().SelectMany(t => t.Tags).First();
}
