using CampaignService.Common;
using Npgsql;

namespace CampaignService.Data;

/// <summary>
/// Carries a signal between processes by NOTIFY: outside of every transaction, for a NOTIFY inside one makes all commits of the database
/// queue up, and at most 20 times a second however often the signal is given. A notice that gets lost costs what a poll takes to come
/// round, at most 2 s.
/// </summary>
public sealed class Notices<TSignal>(NpgsqlDataSource source, TSignal signal, Notices<TSignal>.Listening listens, TimeProvider clock, ILogger<Notices<TSignal>> log)
    : BackgroundService where TSignal : Signal
{
    /// <summary>Whether this process has anybody to wake.</summary>
    public sealed record Listening(bool On);

    private static readonly TimeSpan AtLeastBetween = TimeSpan.FromMilliseconds(50), BeforeNextTry = TimeSpan.FromSeconds(1);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(LoopAsync(TellAsync, stoppingToken), listens.On ? LoopAsync(ListenAsync, stoppingToken) : Task.CompletedTask);

    private async Task TellAsync(CancellationToken stop)
    {
        for (var notice = signal.NextNotice; ;)
        {
            await notice.WaitAsync(stop);
            // Taken before telling: what is given meanwhile is told next time.
            notice = signal.NextNotice;
            await using (var command = source.CreateCommand($"NOTIFY {signal.Name}")) await command.ExecuteNonQueryAsync(stop);
            await Task.Delay(AtLeastBetween, clock, stop);
        }
    }

    private async Task ListenAsync(CancellationToken stop)
    {
        await using var connection = await source.OpenConnectionAsync(stop);
        connection.Notification += (_, _) => signal.WakeHere();
        await using (var listen = new NpgsqlCommand($"LISTEN {signal.Name}", connection)) await listen.ExecuteNonQueryAsync(stop);
        signal.WakeHere();
        // Asks every 10 s whether anybody is there: a server that vanished sends nothing either.
        while (true)
        {
            if (await connection.WaitAsync(TimeSpan.FromSeconds(10), stop)) continue;
            await using var alive = new NpgsqlCommand("SELECT 1", connection);
            await alive.ExecuteNonQueryAsync(stop);
        }
    }

    private async Task LoopAsync(Func<CancellationToken, Task> act, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await act(stop);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Notices of {Signal} between processes failed; polling takes their place meanwhile", signal.Name);
                await Task.Delay(BeforeNextTry, clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
