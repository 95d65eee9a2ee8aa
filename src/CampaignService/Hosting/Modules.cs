using CampaignService.Analytics;
using CampaignService.Campaigns;
using CampaignService.Channels;
using CampaignService.Channels.Webhook;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Delivery.External;
using CampaignService.Feed;
using CampaignService.Notifications;
using CampaignService.Scheduling;
using CampaignService.Templates;
using CampaignService.Users;
using CampaignService.Webhooks;
using Microsoft.Extensions.Options;
using Npgsql;

namespace CampaignService.Hosting;

/// <summary>What each module brings, by role of the process.</summary>
public static class Modules
{
    public static void AddModules(this WebApplicationBuilder builder, string connectionString)
    {
        var services = builder.Services;
        var roles = Roles.From(builder.Configuration);

        services.AddSingleton(provider => new UserTokens(provider.GetRequiredService<LoadedSecrets>().UserTokens, provider.GetRequiredService<NpgsqlDataSource>(), provider.GetRequiredService<TimeProvider>()));
        services.AddScoped<UserUpsert>().AddScoped<PersonalRecords>();
        services.AddSingleton<UserPresence>().AddHostedService(provider => provider.GetRequiredService<UserPresence>());
        // In this order people are erased: when a feed is, nothing can come into it any more.
        services.AddScoped<IPersonalData, ProfileRecord>().AddScoped<IPersonalData, DeviceRecords>();
        services.AddScoped<IPersonalData, SenderRecords>().AddScoped<IPersonalData, RecipientRecords>().AddScoped<IPersonalData, GoneAddresses>().AddScoped<IPersonalData, NotificationRecords>().AddScoped<IPersonalData, FeedRecords>();
        // What they did in their feed is told no more when nothing of it is left.
        services.AddScoped<IPersonalData, EventRecords>();

        builder.AddWebhooks(roles);

        services.AddOptions<RetentionSettings>().BindConfiguration("Retention").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<FeedPartitions>();
        services.AddHostedService(provider => provider.GetRequiredService<FeedPartitions>());
        services.AddSingleton<FeedReader>().AddSingleton<FeedMarks>().AddScoped<FeedViews>().AddScoped<FeedSearch>();
        services.AddSingleton<FeedSignal>().AddSingleton<FeedStreams>();
        services.AddSingleton(new Notices<FeedSignal>.Listening(roles.Api)).AddHostedService<Notices<FeedSignal>>();
        if (roles.Api) services.AddHostedService(provider => provider.GetRequiredService<FeedStreams>());
        services.AddSingleton<ContentChanges>().AddSingleton<SendableTemplates>().AddScoped<TemplateAuthor>().AddScoped<CategoryAuthor>();

        services.AddOptions<WorkerSettings>().BindConfiguration("Workers").ValidateDataAnnotations().ValidateOnStart();
        services.AddKeyedSingleton(DeliveryPool.Key, (provider, _) => DeliveryPool.Create(connectionString, provider.GetRequiredService<IOptions<WorkerSettings>>().Value.ActualLoops));
        services.AddSingleton<BatchSources>().AddSingleton<IFeedSources>(provider => provider.GetRequiredService<BatchSources>());
        services.AddSingleton<ChunkQueue>().AddSingleton<ChunkProcessor>().AddSingleton<BatchFinisher>().AddSingleton<LeaseRescuer>();
        services.AddSingleton<DeliveryPulse>().AddSingleton<WorkSignal>().AddSingleton<DeliveryWorker>();
        services.AddOptions<ExternalSettings>().BindConfiguration("Channels").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<IChannel, WebhookChannel>().AddSingleton(provider => new MessageIds(provider.GetRequiredService<LoadedSecrets>().Messages));
        services.AddSingleton<BatchHold>().AddSingleton<ExternalWorker>();
        if (roles.Worker) services.AddHostedService(provider => provider.GetRequiredService<ExternalWorker>());
        services.AddSingleton(new Notices<WorkSignal>.Listening(roles.Worker)).AddHostedService<Notices<WorkSignal>>();
        if (roles.Worker) services.AddHostedService(provider => provider.GetRequiredService<DeliveryWorker>());

        services.AddKeyedSingleton(NotificationPool.Key, (_, _) => NotificationPool.Create(connectionString, NotificationWriter.MostAtOnce));
        services.AddSingleton<NotificationStore>().AddSingleton<NotificationWriter>().AddSingleton<IFeedSources, NotificationSources>();
        services.AddScoped<NotificationSender>().AddScoped<NotificationQueue>().AddScoped<NotificationControl>().AddScoped<NotificationViews>().AddScoped<NotificationLedger>().AddScoped<IBatchOwner, NotificationOutcome>();

        services.AddOptions<SchedulingSettings>().BindConfiguration("Scheduling").ValidateDataAnnotations().ValidateOnStart();
        services.AddScoped<CampaignViews>().AddScoped<CampaignDraft>().AddScoped<CampaignImport>();
        services.AddScoped<CampaignLauncher>().AddScoped<CampaignTimetable>().AddScoped<CampaignControl>().AddScoped<IBatchOwner, CampaignOutcome>();
        services.AddSingleton<DueCampaigns>().AddSingleton<StreamSeats>();
        builder.AddCampaignSchedule(roles.Scheduler, due: (provider, id, ct) => provider.GetRequiredService<DueCampaigns>().RunAsync(id, ct));
        if (roles.Scheduler) services.AddHostedService(provider => provider.GetRequiredService<DueCampaigns>());

        services.AddSingleton<StatsReader>().AddSingleton<UserStatsReader>().AddSingleton<StatsRollup>();
        if (roles.Worker) services.AddHostedService(provider => provider.GetRequiredService<StatsRollup>());
    }

    private static void AddWebhooks(this WebApplicationBuilder builder, Roles roles)
    {
        var services = builder.Services;
        var sealing = SecretBox.KeysIn(builder.Configuration["Secrets:Key"]);
        services.AddSingleton(provider => new SecretBox([.. sealing, provider.GetRequiredService<LoadedSecrets>().Sealing]));
        services.AddOptions<WebhookSettings>().BindConfiguration("Webhooks").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<EventRetentionSettings>().BindConfiguration("Retention").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<EventReader>().AddSingleton<EventSequencer>().AddSingleton<EventRetention>().AddScoped<IEventSubjects, NotificationSubjects>().AddScoped<IEventSubjects, FeedSubjects>();
        services.AddSingleton<WebhookSignal>().AddSingleton<WebhookQueue>().AddSingleton<WebhookSender>().AddSingleton<WebhookSwitch>().AddSingleton<WebhookAttempts>().AddSingleton<WebhookDispatcher>();
        if (roles.Worker)
        {
            services.AddHostedService(provider => provider.GetRequiredService<EventSequencer>()).AddHostedService(provider => provider.GetRequiredService<WebhookDispatcher>());
            services.AddHostedService(provider => provider.GetRequiredService<EventRetention>());
        }
    }
}
