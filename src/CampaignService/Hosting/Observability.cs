using System.Diagnostics;
using CampaignService.Common;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Diagnostics;
using Serilog;
using Serilog.Events;
using Serilog.Formatting.Json;

namespace CampaignService.Hosting;

/// <summary>Structured logs: one line of JSON an event in Production, plain text in Development.</summary>
public static class Observability
{
    /// <summary>So much of the log is missing after a kill.</summary>
    private static readonly TimeSpan LogsGatheredFor = TimeSpan.FromMilliseconds(100);

    public static void AddLogs(this WebApplicationBuilder builder)
    {
        var logger = new LoggerConfiguration()
            .MinimumLevel.Information()
            .MinimumLevel.Override("Microsoft.AspNetCore", LogEventLevel.Warning)
            // "Was challenged", for each 401: the request's own line says so.
            .MinimumLevel.Override(typeof(ApiKeyAuthentication).FullName!, LogEventLevel.Warning)
            .MinimumLevel.Override(typeof(OperatorAuthentication).FullName!, LogEventLevel.Warning)
            // What fails in EF throws, and what throws is logged where it is handled; much of it is a refusal and no fault.
            .MinimumLevel.Override("Microsoft.EntityFrameworkCore", LogEventLevel.Fatal)
            .MinimumLevel.Override("Npgsql", LogEventLevel.Warning)
            .MinimumLevel.Override("Quartz", LogEventLevel.Warning)
            // At every start it warns of the process that ran before, as of one that failed.
            .MinimumLevel.Override("Quartz.Impl.AdoJobStore.LocalTransactionJobStore", LogEventLevel.Error)
            // The exception handler logs a fault once, with its route; the middleware around it would log it again with the path.
            .MinimumLevel.Override("Microsoft.AspNetCore.Diagnostics.ExceptionHandlerMiddleware", LogEventLevel.Fatal)
            .ReadFrom.Configuration(builder.Configuration)
            .Enrich.FromLogContext();
        logger = builder.Environment.IsDevelopment()
            ? logger.WriteTo.Console(formatProvider: System.Globalization.CultureInfo.InvariantCulture)
            : logger.WriteTo.Sink(new GatheredLog(new JsonFormatter(renderMessage: true), Console.Out, LogsGatheredFor));
        Log.Logger = logger.CreateLogger();
        builder.Logging.ClearProviders().AddSerilog(Log.Logger);
        // The framework's scope of a request holds its path, and so user ids: every line written within one would show them. The trace id is in each line without it.
        builder.Services.Configure<LoggerFilterOptions>(options => options.CaptureScopes = false);
    }

    /// <summary>
    /// A line for each request, by the pattern of its route and never by its path, query or body, which hold user ids. What went right where thousands call a second
    /// (<see cref="LogsFailuresAttribute"/>), and what probes ask every few seconds, would drown the rest: it is there at level Debug.
    /// </summary>
    public static void UseRequestLog(this WebApplication app) => app.Use(async (http, next) =>
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            await next(http);
        }
        finally
        {
            // The exception handler takes the endpoint away from a request that it answers, and keeps it here.
            var endpoint = http.GetEndpoint() ?? http.Features.Get<IExceptionHandlerFeature>()?.Endpoint;
            var route = (endpoint as RouteEndpoint)?.RoutePattern.RawText ?? "unmatched";
            var level = LevelOf(http.Response.StatusCode, route, endpoint);
            if (Log.IsEnabled(level))
            {
                Log.Write(level, "{Method} {Route} {Status} in {Elapsed:0.0} ms for app {AppId}, trace {TraceId}",
                    http.Request.Method, route, http.Response.StatusCode, Stopwatch.GetElapsedTime(start).TotalMilliseconds,
                    http.User.FindFirst(ApiKeyAuthentication.AppIdClaim)?.Value, Problem.TraceIdOf(http));
            }
        }
    });

    private static LogEventLevel LevelOf(int status, string route, Endpoint? endpoint) => status >= 500 ? LogEventLevel.Error
        : IsProbe(route) || (status < 400 && endpoint?.Metadata.GetMetadata<LogsFailuresAttribute>() is not null) ? LogEventLevel.Debug : LogEventLevel.Information;

    private static bool IsProbe(string route) => route == "/metrics" || route.StartsWith("/health", StringComparison.Ordinal);
}
