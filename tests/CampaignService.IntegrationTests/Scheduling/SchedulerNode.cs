using System.Collections.Concurrent;
using System.Diagnostics;
using CampaignService.Scheduling;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CampaignService.IntegrationTests.Scheduling;

/// <summary>A process as far as the schedule knows it, with connections, a clock and a log of its own.</summary>
internal sealed class SchedulerNode : IAsyncDisposable
{
    private readonly IHost _host;
    private int _attempts;

    private SchedulerNode(IHost host) => _host = host;

    public ICampaignSchedule Schedule => _host.Services.GetRequiredService<ICampaignSchedule>();

    private NpgsqlDataSource Source => _host.Services.GetRequiredService<NpgsqlDataSource>();

    public TimeProvider Clock => _host.Services.GetRequiredService<TimeProvider>();

    /// <summary>What the schedule told, with this node's time at which it did.</summary>
    public ConcurrentQueue<(string Id, DateTimeOffset At)> Told { get; } = [];

    /// <summary>What was logged as a warning or worse.</summary>
    public ConcurrentQueue<string> Complaints { get; } = [];

    /// <summary>How often this node has tried to connect to the database.</summary>
    public int Attempts => _attempts;

    /// <summary>Replaces what the node does when it is told; it is noted before.</summary>
    public Func<string, CancellationToken, Task> WhenTold { get; set; } = (_, _) => Task.CompletedTask;

    /// <param name="runs">Whether it tells of moments, from now on.</param>
    /// <param name="ahead">How far this node's clock is ahead of the machine's.</param>
    /// <param name="later">Whether it only does so when a service would, and so with the database away.</param>
    public static async Task<SchedulerNode> StartAsync(string connectionString, bool runs, TimeSpan ahead = default, bool later = false)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "test" });
        SchedulerNode? node = null;
        builder.Logging.SetMinimumLevel(LogLevel.Trace).AddProvider(new NodeLog((level, id, line) => node?.Hear(level, id, line)));
        builder.Services.AddSingleton<TimeProvider>(new ShiftedClock(ahead));
        builder.Services.AddSingleton(provider => new NpgsqlDataSourceBuilder(connectionString).UseLoggerFactory(provider.GetRequiredService<ILoggerFactory>()).Build());
        builder.AddCampaignSchedule(runs, (_, id, ct) => node!.TellAsync(id, ct));
        node = new SchedulerNode(builder.Build());
        await node._host.StartAsync();
        // A service leaves itself a second for it, and tries for as long as the database is away.
        if (runs && !later) await node._host.Services.GetRequiredService<QuartzSchedule>().StartAsync(CancellationToken.None);
        return node;
    }

    /// <summary>Sets a moment that is so far away by this node's clock, in a transaction of its own.</summary>
    public async Task SetAsync(string id, TimeSpan away, CampaignMoment moment = CampaignMoment.Start)
    {
        await using var connection = await Source.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await Schedule.SetAsync(id, moment, Clock.GetUtcNow() + away, transaction, CancellationToken.None);
        await transaction.CommitAsync();
    }

    public async Task RemoveAsync(string id, CampaignMoment moment = CampaignMoment.Start)
    {
        await using var connection = await Source.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await Schedule.RemoveAsync(id, moment, transaction, CancellationToken.None);
        await transaction.CommitAsync();
    }

    public Task StopAsync() => _host.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        await ((IAsyncDisposable)_host).DisposeAsync();
    }

    private void Hear(LogLevel level, EventId id, string line)
    {
        if (id.Name == "OpeningPhysicalConnection") Interlocked.Increment(ref _attempts);
        if (level >= LogLevel.Warning) Complaints.Enqueue(line);
    }

    private Task TellAsync(string id, CancellationToken ct)
    {
        Told.Enqueue((id, Clock.GetUtcNow()));
        return WhenTold(id, ct);
    }

    /// <summary>The time of a database that does not agree with this machine's.</summary>
    private sealed class ShiftedClock(TimeSpan ahead) : TimeProvider
    {
        private readonly DateTimeOffset _start = System.GetUtcNow() + ahead;
        private readonly long _stamp = Stopwatch.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => _start + Stopwatch.GetElapsedTime(_stamp);
    }

    private sealed class NodeLog(Action<LogLevel, EventId, string> hear) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            hear(logLevel, eventId, formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
