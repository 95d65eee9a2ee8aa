using System.Data.Common;
using CampaignService.Common;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Quartz;
using Quartz.Impl.AdoJobStore;
using Quartz.Impl.AdoJobStore.Common;

namespace CampaignService.Scheduling;

/// <summary>All that knows Quartz: clustered on the service's own database, so that any process sets a moment and one that runs tells of it.</summary>
internal static class QuartzScheduling
{
    /// <param name="runs">Whether this process tells of moments that have come; without it, it only sets and removes them.</param>
    /// <param name="due">
    /// Called with the services of a scope and the campaign's id, at least once for each moment, also when it is long past. Whatever it
    /// throws is logged, and the moment is not told again.
    /// </param>
    public static void AddCampaignSchedule(this IHostApplicationBuilder builder, bool runs, Func<IServiceProvider, string, CancellationToken, Task> due)
    {
        builder.Services.AddSingleton(provider => ActivatorUtilities.CreateInstance<QuartzSchedule>(provider, due));
        builder.Services.AddSingleton<ICampaignSchedule>(provider => provider.GetRequiredService<QuartzSchedule>());
        if (runs) builder.Services.AddHostedService<CampaignScheduler>();
    }
}

/// <summary>
/// Sets and removes triggers. The scheduler behind it is made on first use and not at start, where its preparation would delay
/// readiness; it makes its tables itself, and any number of processes may do so at once.
/// </summary>
internal sealed class QuartzSchedule(
    NpgsqlDataSource source, TimeProvider time, ILoggerFactory logs, IServiceScopeFactory scopes, Func<IServiceProvider, string, CancellationToken, Task> due)
    : ICampaignSchedule, IAsyncDisposable
{
    private static readonly JobKey Job = new("campaign");

    private readonly SemaphoreSlim _making = new(1);
    private volatile IScheduler? _scheduler;
    private StandaloneSchedulerFactory? _factory;

    /// <summary>
    /// Call it last in the transaction: the lock of all triggers is held until the commit, and a transaction that waits for another row
    /// behind it stops everybody who sets a moment.
    /// </summary>
    public Task SetAsync(string campaignId, CampaignMoment moment, DateTimeOffset at, DbTransaction transaction, CancellationToken ct)
    {
        var trigger = TriggerBuilder.Create(time).WithIdentity(KeyOf(campaignId, moment)).ForJob(Job).StartAt(at)
            .UsingJobData(Job.Name, campaignId)
            // However late, it fires at once: whether that is too late is not for the clock to say.
            .WithSimpleSchedule(once => once.WithMisfireInstruction(SimpleTriggerMisfireInstruction.IgnoreMisfires))
            .Build();
        return InAsync(transaction, async scheduler => await scheduler.ScheduleTrigger(trigger, TriggerConflict.Replace, ct), ct);
    }

    public Task RemoveAsync(string campaignId, CampaignMoment moment, DbTransaction transaction, CancellationToken ct) =>
        InAsync(transaction, async scheduler => await scheduler.UnscheduleJob(KeyOf(campaignId, moment), ct), ct);

    /// <summary>From here on this process fires triggers, and checks in so that the others know when it has died.</summary>
    public async Task StartAsync(CancellationToken ct) => await (await SchedulerAsync(ct)).Start(ct);

    /// <summary>Fires no more, and lets what is running hear that it should end; waits for it as long as the token allows.</summary>
    public async Task StopAsync(CancellationToken ct)
    {
        if (_scheduler is { } scheduler) await scheduler.Shutdown(waitForJobsToComplete: true, ct).AsTask().WaitAsync(ct);
    }

    public async ValueTask DisposeAsync()
    {
        if (_factory is not null) await _factory.DisposeAsync();
    }

    private async Task InAsync(DbTransaction transaction, Func<IScheduler, Task> act, CancellationToken ct)
    {
        var scheduler = await SchedulerAsync(ct);
        using var _ = scheduler.EnlistTransaction(transaction);
        try
        {
            await act(scheduler);
        }
        catch (SchedulerException e) when (e.GetBaseException() is PostgresException
        { SqlState: PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.InFailedSqlTransaction })
        {
            // It asks for its lock again where the first refusal has ended the transaction, and reports the refusal of that.
            throw new ApiException(Errors.Conflict("Another request is setting times just now. Try again in a moment."));
        }
    }

    private static TriggerKey KeyOf(string campaignId, CampaignMoment moment) => new(campaignId, moment.ToString());

    private async ValueTask<IScheduler> SchedulerAsync(CancellationToken ct)
    {
        if (_scheduler is { } made) return made;
        await _making.WaitAsync(ct);
        try
        {
            return _scheduler ??= await MakeAsync(ct);
        }
        finally
        {
            _making.Release();
        }
    }

    /// <summary>One that could not be made, as when the database is away, can never be used again: each attempt has a container of its own.</summary>
    private async Task<IScheduler> MakeAsync(CancellationToken ct)
    {
        var factory = QuartzSchedulerBuilder.Create(Configure).Build();
        try
        {
            var scheduler = await factory.GetScheduler(ct);
            _factory = factory;
            return scheduler;
        }
        catch
        {
            await factory.DisposeAsync();
            throw;
        }
    }

    private void Configure(IQuartzBuilder quartz)
    {
        // Without a provider beside it, Quartz would put a factory of its own in the place of ours.
        quartz.Services.AddSingleton(logs).AddSingleton<ILoggerProvider>(NullLoggerProvider.Instance);
        quartz.UseTimeProvider(time).UseDefaultThreadPool(maxConcurrency: 4);
        quartz.ConfigureScheduler(options =>
        {
            options.InstanceName = "campaigns";
            options.InstanceId = Guid.NewGuid().ToString("N");
            // How late a trigger is found that another process, or a transaction not yet committed, has set.
            options.IdleWaitTime = TimeSpan.FromSeconds(1);
            options.ShutdownJobInterruption = ShutdownJobInterruption.Always;
        });
        quartz.AddJob(Job.Name, TellAsync, job => job.RequestRecovery());
        quartz.UsePersistentStore(store =>
        {
            store.UsePostgres(data => data.DataSourceFactory = _ => source);
            store.ProvisionSchema();
            store.UseLockHandler(services => new PostgreSqlSelectForUpdateLockHandler(services.GetRequiredService<IDbProvider>()) { RetryPeriod = TimeSpan.FromMilliseconds(50) });
            // A process that has died is known to be dead after the sum of both, and what it had begun begins again elsewhere.
            store.UseClustering(cluster =>
            {
                cluster.CheckinInterval = TimeSpan.FromSeconds(2);
                cluster.CheckinMisfireThreshold = TimeSpan.FromSeconds(5);
            });
            store.ConfigureStore(options =>
            {
                options.TablePrefix = "qrtz_";
                options.StoreJobDataAsStrings = true;
                options.AcceptEnlistedTransactions = true;
                options.CommandTimeout = TimeSpan.FromSeconds(5);
                // While the database is away: try again soon, but say so once and not at each attempt.
                options.DbRetryInterval = TimeSpan.FromSeconds(2);
                options.MaxTransientRetries = 0;
                options.RetryableActionErrorLogThreshold = int.MaxValue;
            });
        });
    }

    private async Task TellAsync(IJobExecutionContext context, CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        await due(scope.ServiceProvider, context.MergedJobDataMap.GetString(Job.Name)!, ct);
    }
}

/// <summary>Runs the scheduler from a second after the service listens until it stops.</summary>
internal sealed class CampaignScheduler(QuartzSchedule schedule, IHostApplicationLifetime lifetime, TimeProvider time, ILogger<CampaignScheduler> log)
    : StoppedOnce
{
    protected override async Task StopOnceAsync(CancellationToken ct)
    {
        await StopLoopAsync(ct);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(TimeSpan.FromSeconds(4));
        try
        {
            await schedule.StopAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            log.LogWarning("The scheduler did not end in time; another process, or the next start, takes over what it had begun");
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var listening = new TaskCompletionSource();
        await using var _ = lifetime.ApplicationStarted.Register(listening.SetResult);
        await listening.Task.WaitAsync(stoppingToken);
        // The first requests, the probe of readiness among them, have the processor to themselves.
        await Task.Delay(TimeSpan.FromSeconds(1), time, stoppingToken);
        for (var attempt = 1; !await TryStartAsync(attempt, stoppingToken); attempt++) await Task.Delay(TimeSpan.FromSeconds(1), time, stoppingToken);
    }

    private async Task<bool> TryStartAsync(int attempt, CancellationToken ct)
    {
        try
        {
            await schedule.StartAsync(ct);
            return true;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            if (attempt == 1) log.LogWarning(e, "The scheduler cannot start yet; trying every second");
            return false;
        }
    }
}
