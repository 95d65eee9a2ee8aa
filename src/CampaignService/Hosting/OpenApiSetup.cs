using CampaignService.Tenancy;
using Microsoft.OpenApi;

namespace CampaignService.Hosting;

/// <summary>The OpenAPI document and Swagger UI.</summary>
public static class OpenApiSetup
{
    public static void AddOpenApi(this WebApplicationBuilder builder) => builder.Services.AddSwaggerGen(options =>
    {
        options.SwaggerDoc("v1", new OpenApiInfo { Title = "Campaigns", Version = "v1" });
        options.IncludeXmlComments(typeof(App).Assembly);
    });

    public static void MapOpenApi(this WebApplication app)
    {
        app.MapSwagger();
        app.UseSwaggerUI();
    }
}
