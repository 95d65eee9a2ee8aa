using CampaignService.Campaigns;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.Scheduling;
using CampaignService.Templates;

namespace CampaignService.Hosting;

/// <summary>What each module brings, by role of the process.</summary>
public static class Modules
{
    public static void AddModules(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        var roles = Roles.From(builder.Configuration);

        services.AddSingleton<FeedPartitions>();
        services.AddHostedService(provider => provider.GetRequiredService<FeedPartitions>());
        services.AddSingleton<FeedReader>().AddSingleton<FeedMarks>().AddScoped<FeedViews>();

        services.AddSingleton<BatchSources>().AddSingleton<IFeedSources>(provider => provider.GetRequiredService<BatchSources>());
        services.AddSingleton<WorkSignal>().AddSingleton<ChunkQueue>().AddSingleton<ChunkProcessor>().AddSingleton<BatchFinisher>().AddSingleton<LeaseRescuer>();
        services.AddSingleton<DeliveryWorker>();
        if (roles.Worker) services.AddHostedService(provider => provider.GetRequiredService<DeliveryWorker>());

        services.AddScoped<TemplateAuthor>();

        services.AddScoped<CampaignViews>().AddScoped<CampaignDraft>().AddScoped<CampaignLauncher>().AddScoped<CampaignImport>();
        services.AddScoped<IBatchOwner, CampaignOutcome>();
        // What the campaigns do at their moment goes here; nobody sets one yet.
        builder.AddCampaignSchedule(roles.Scheduler, due: (_, _, _) => Task.CompletedTask);
    }
}
