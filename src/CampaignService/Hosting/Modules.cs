using CampaignService.Campaigns;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.Scheduling;
using CampaignService.Templates;
using Microsoft.Extensions.Options;

namespace CampaignService.Hosting;

/// <summary>What each module brings, by role of the process.</summary>
public static class Modules
{
    public static void AddModules(this WebApplicationBuilder builder, string connectionString)
    {
        var services = builder.Services;
        var roles = Roles.From(builder.Configuration);

        services.AddSingleton<FeedPartitions>();
        services.AddHostedService(provider => provider.GetRequiredService<FeedPartitions>());
        services.AddSingleton<FeedReader>().AddSingleton<FeedMarks>().AddScoped<FeedViews>();

        services.AddSingleton<BatchSources>().AddSingleton<IFeedSources>(provider => provider.GetRequiredService<BatchSources>());
        services.AddOptions<SchedulingSettings>().BindConfiguration("Scheduling").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<WorkerSettings>().BindConfiguration("Workers").ValidateDataAnnotations().ValidateOnStart();
        services.AddKeyedSingleton(DeliveryPool.Key, (provider, _) => DeliveryPool.Create(connectionString, provider.GetRequiredService<IOptions<WorkerSettings>>().Value.ActualLoops));
        services.AddSingleton<DeliveryPulse>().AddSingleton<WorkSignal>().AddSingleton<ChunkQueue>().AddSingleton<ChunkProcessor>().AddSingleton<BatchFinisher>().AddSingleton<LeaseRescuer>();
        services.AddSingleton<DeliveryWorker>();
        services.AddSingleton(new WorkNotices.Listening(roles.Worker)).AddHostedService<WorkNotices>();
        if (roles.Worker) services.AddHostedService(provider => provider.GetRequiredService<DeliveryWorker>());

        services.AddSingleton<ICampaignSchedule, TemporarySchedule>();
        services.AddScoped<TemplateAuthor>();

        services.AddScoped<CampaignViews>().AddScoped<CampaignDraft>().AddScoped<CampaignLauncher>().AddScoped<CampaignImport>();
        services.AddScoped<CampaignTimetable>().AddScoped<CampaignControl>().AddSingleton<DueCampaigns>();
        if (roles.Scheduler) services.AddHostedService(provider => provider.GetRequiredService<DueCampaigns>());
        services.AddScoped<IBatchOwner, CampaignOutcome>();
        // What the campaigns do at their moment goes here; nobody sets one yet.
        builder.AddCampaignSchedule(roles.Scheduler, due: (_, _, _) => Task.CompletedTask);
    }
}
