using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Delivery;
using CampaignService.Feed;
using CampaignService.Idempotency;
using CampaignService.Notifications;
using CampaignService.Tenancy;
using CampaignService.Users;
using FluentValidation;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Authorization.Policy;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Formatters;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Npgsql;

namespace CampaignService.Hosting;

/// <summary>What every module stands on: database, clock, errors, authentication, JSON, health.</summary>
public static class Platform
{
    /// <summary>Where the service listens unless it is told otherwise, by <c>ASPNETCORE_URLS</c> or another of the framework's settings.</summary>
    public const string DefaultAddress = "http://localhost:5080";

    public static void AddPlatform(this WebApplicationBuilder builder, string connectionString)
    {
        var services = builder.Services;
        if (!NamesAnAddress(builder.Configuration)) builder.WebHost.UseUrls(DefaultAddress);
        builder.WebHost.AddServer();
        services.AddSingleton(Roles.From(builder.Configuration));
        services.AddOptions<Limits>().BindConfiguration("Limits").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton(_ => OpenPool(connectionString));
        services.AddDbContextPool<CampaignsDb>((provider, options) => options
            .UseNpgsql(provider.GetRequiredService<NpgsqlDataSource>()).AddInterceptors(provider.GetRequiredService<IdempotencyFence>()));
        services.AddSingleton<IdempotencyFence>().AddSingleton<IdempotencyKeys>().AddHostedService<IdempotencySweep>();
        services.AddSingleton<DbMigrator>().AddSingleton<DatabaseHealth>().AddSingleton<DatabaseClock>();
        services.AddSingleton<TimeProvider>(provider => provider.GetRequiredService<DatabaseClock>());
        services.AddSingleton<LoadedSecrets>().AddSingleton(provider => new Cursors(provider.GetRequiredService<LoadedSecrets>().Cursors));
        services.AddHostedService<ClockKeeper>();
        services.AddSingleton<Metrics>();
        // At once: a slow upload must not use up the time in which the workers put down their chunks.
        services.Configure<HostOptions>(options => (options.ServicesStopConcurrently, options.ShutdownTimeout) = (true, TimeSpan.FromSeconds(10)));
        services.AddSingleton<Watchdog>().AddHostedService(provider => provider.GetRequiredService<Watchdog>());
        services.AddHealthChecks().AddCheck<DatabaseHealth>("database", tags: ["ready"]).AddCheck<Watchdog>("work", tags: ["ready"]);

        services.AddExceptionHandler<ApiExceptionHandler>();
        services.AddHttpContextAccessor();
        // AddAuthentication would also bring data protection, whose keys nothing here uses and which costs start-up time.
        services.AddAuthenticationCore(options => options.DefaultScheme = ApiKeyAuthentication.SchemeName).AddWebEncoders();
        new AuthenticationBuilder(services)
            .AddScheme<AuthenticationSchemeOptions, ApiKeyAuthentication>(ApiKeyAuthentication.SchemeName, options => options.ForwardDefaultSelector = UserTokenAuthentication.SchemeOf)
            .AddScheme<AuthenticationSchemeOptions, UserTokenAuthentication>(UserTokenAuthentication.SchemeName, null)
            .AddScheme<AuthenticationSchemeOptions, OperatorAuthentication>(OperatorAuthentication.SchemeName, null);
        services.AddAuthorization();
        services.Replace(ServiceDescriptor.Scoped<IAuthenticationService, KnownCallers>()).Replace(ServiceDescriptor.Singleton<IPolicyEvaluator, KnownScopes>());
        services.AddSingleton<IAuthorizationHandler, ScopeCheck>();
        services.AddSingleton<KnownKeys>().AddScoped<CurrentApp>().AddScoped<Bootstrap>();

        ValidatorOptions.Global.PropertyNameResolver = (_, member, _) => member is null ? null : System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(member.Name);
        foreach (var validator in AssemblyScanner.FindValidatorsInAssemblyContaining<App>()) services.AddSingleton(validator.InterfaceType, validator.ValidatorType);
        services.AddEndpointsApiExplorer();
        services.AddControllers(options =>
            {
                options.ModelBindingMessageProvider.SetMissingRequestBodyRequiredValueAccessor(() => "is empty; send a JSON object");
                options.ModelBinderProviders.Insert(0, new WireEnumBinderProvider());
                options.InputFormatters.Clear();
                options.InputFormatters.Add(new JsonBodyFormatter());
                options.OutputFormatters.RemoveType<StringOutputFormatter>();
                // They would read the whole of an upload before its action does.
                options.ValueProviderFactories.RemoveType<FormValueProviderFactory>();
                options.ValueProviderFactories.RemoveType<FormFileValueProviderFactory>();
                options.ValueProviderFactories.RemoveType<JQueryFormValueProviderFactory>();
                // A record's non-nullable member is not "required" in a query string unless it says so.
                options.SuppressImplicitRequiredAttributeForNonNullableReferenceTypes = true;
                options.ModelMetadataDetailsProviders.Add(new Microsoft.AspNetCore.Mvc.ModelBinding.Metadata.SystemTextJsonValidationMetadataProvider());
            })
            .AddJsonOptions(options => Json.Configure(options.JsonSerializerOptions))
            .ConfigureApiBehaviorOptions(options =>
            {
                options.SuppressMapClientErrors = true;
                options.InvalidModelStateResponseFactory = context => throw new ApiException(Errors.BadRequest(FaultsOf(context)));
            });
    }

    /// <summary>Whether it is said where to listen, in one of the ways that the framework knows.</summary>
    internal static bool NamesAnAddress(IConfiguration configuration) =>
        new[] { WebHostDefaults.ServerUrlsKey, WebHostDefaults.HttpPortsKey, WebHostDefaults.HttpsPortsKey }.Any(key => !string.IsNullOrEmpty(configuration[key]))
        || configuration.GetSection("Kestrel:Endpoints").Exists();

    private static void AddServer(this ConfigureWebHostBuilder host)
    {
        // The server's own default is 30,000,000 bytes, less than the contract promises.
        host.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = JsonBodyFormatter.MaxBytes);
        // A request goes on where its bytes were read. Nothing here blocks a thread, so that it would hold up others, and to hand it on costs more than most requests do themselves.
        host.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true);
    }

    public static void UsePlatform(this WebApplication app)
    {
        app.UseRequestLog();
        app.UseExceptionHandler(_ => { });
        app.UseStatusCodePages(context => WriteStatusAsync(context.HttpContext));
        app.UseAuthentication();
        app.UseApiRateLimits();
        app.UseAuthorization();
        app.UseMiddleware<IdempotencyMiddleware>();
    }

    public static void MapPlatform(this WebApplication app)
    {
        app.MapHealthChecks("/health/live", new HealthCheckOptions { Predicate = _ => false });
        app.MapHealthChecks("/health/ready", new HealthCheckOptions { Predicate = check => check.Tags.Contains("ready"), ResponseWriter = WriteHealthAsync });
        app.MapGet("/metrics", app.Services.GetRequiredService<Metrics>().AnswerAsync);
        if (!app.Services.GetRequiredService<Roles>().Api) return;
        app.MapControllers();
        app.MapMessages();
        app.MapOpenApi();
    }

    /// <summary>Everything that must be there before the first request: the schema, this month's partitions, the shared secrets, the first app.</summary>
    public static async Task PrepareDatabaseAsync(this WebApplication app, bool embedded)
    {
        var ct = app.Lifetime.ApplicationStopping;
        await app.Services.GetRequiredService<DbMigrator>().MigrateAsync(ct);
        await app.Services.GetRequiredService<DatabaseClock>().MeasureAsync(ct);
        await app.Services.GetRequiredService<FeedPartitions>().CreateAsync(ct);
        await app.Services.GetRequiredService<DeliveryPulse>().CheckCopyAsync(ct);
        await app.Services.GetRequiredService<LoadedSecrets>().LoadAsync(ct);
        await using var scope = app.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<Bootstrap>().RunAsync(demo: embedded && app.Environment.IsDevelopment(), ct);
    }

    private static NpgsqlDataSource OpenPool(string connectionString)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        ServerLimits.AddTo(settings, idleInTransaction: TimeSpan.FromSeconds(30));
        return new NpgsqlDataSourceBuilder(settings.ConnectionString) { Name = "service" }.Build();
    }

    private static string[] FaultsOf(ActionContext context) =>
    [
        .. context.ModelState.Where(e => e.Value is { Errors.Count: > 0 }).SelectMany(e => e.Value!.Errors.Select(error =>
            $"{(e.Key.Length == 0 ? "body" : System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(e.Key))}: {Worded(error.ErrorMessage)}")).Order(StringComparer.Ordinal),
    ];

    /// <summary>The framework's own messages for query values say what happened but not in our words.</summary>
    private static string Worded(string message) =>
        message.StartsWith("The value ", StringComparison.Ordinal) || message.Length == 0 ? "cannot be read; see /swagger for what it takes" : message;

    /// <summary>Only the database makes a process unready (503); what else is wrong stands in the detail.</summary>
    private static Task WriteHealthAsync(HttpContext http, Microsoft.Extensions.Diagnostics.HealthChecks.HealthReport report) =>
        http.Response.WriteAsJsonAsync(new
        {
            status = report.Status.ToString(),
            checks = report.Entries.ToDictionary(e => e.Key, e => new { status = e.Value.Status.ToString(), detail = e.Value.Exception is null ? e.Value.Description : "The check failed; the log says how." }),
        });

    private static Task WriteStatusAsync(HttpContext http) => http.Response.StatusCode switch
    {
        404 => Problem.WriteAsync(http, Errors.NoSuchRoute(http.Request.Path)),
        405 => Problem.WriteAsync(http, Errors.MethodNotAllowed(http.Request.Method, http.Response.Headers.Allow.ToString())),
        413 => Problem.WriteAsync(http, Errors.TooLarge("The body", JsonBodyFormatter.MaxBytes)),
        415 => Problem.WriteAsync(http, Errors.UnsupportedMediaType("application/json")),
        _ => Task.CompletedTask,
    };
}

/// <summary>Keys that all processes share, read once at start.</summary>
public sealed class LoadedSecrets(NpgsqlDataSource source)
{
    public byte[] Cursors { get; private set; } = [];

    public byte[] UserTokens { get; private set; } = [];

    /// <summary>Seals what callers entrust to us when no key is set for that, and opens what it sealed before one was.</summary>
    public byte[] Sealing { get; private set; } = [];

    /// <summary>Makes the ids of messages to providers.</summary>
    public byte[] Messages { get; private set; } = [];

    public async Task LoadAsync(CancellationToken ct)
    {
        Messages = await SharedSecrets.GetOrMakeAsync(source, "message ids", ct);
        Cursors = await SharedSecrets.GetOrMakeAsync(source, "cursors", ct);
        UserTokens = await SharedSecrets.GetOrMakeAsync(source, "user tokens", ct);
        Sealing = await SharedSecrets.GetOrMakeAsync(source, "sealing", ct);
    }
}

/// <summary>Measures the database's clock again every 30 s: this machine's may drift.</summary>
public sealed class ClockKeeper(DatabaseClock clock, ILogger<ClockKeeper> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(30));
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await clock.MeasureAsync(stoppingToken);
            }
            catch (Exception e) when (DatabaseHealth.IsConnectionLoss(e))
            {
                log.LogWarning("The database's clock could not be read; going on with the last measurement");
            }
        }
    }
}
