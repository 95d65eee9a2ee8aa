using System.Collections.Concurrent;
using CampaignService.Common;
using CampaignService.Data;
using Microsoft.Extensions.Options;

namespace CampaignService.Webhooks;

/// <summary>
/// Makes the deliveries that are due: one loop that takes them and writes down what came of them, while the calls between the two run by
/// themselves. No transaction is open during a call.
/// </summary>
public sealed class WebhookDispatcher(
    WebhookQueue queue, WebhookSender sender, WebhookSwitch off, EventReader events, SecretBox box, WebhookSignal signal, IOptions<WebhookSettings> settings, TimeProvider clock,
    ILogger<WebhookDispatcher> log) : BackgroundService
{
    /// <summary>How long a retry that is due can wait for an idle process.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    /// <summary>What calls get to come to their end when the service is asked to stop; the host waits 10 s.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly WebhookLanes _lanes = new(settings.Value.Concurrency, settings.Value.ConcurrencyPerWebhook);
    private readonly ConcurrentQueue<AttemptedDelivery> _finished = new();

    /// <summary>Begun by the loop, and not looked at by anybody else.</summary>
    private readonly List<Task> _calls = [];
    private readonly CancellationTokenSource _givenUp = new();
    private volatile bool _lost;
    private bool _isStopped;

    /// <summary>One turn: writes down what has finished, and begins what is due as far as there is room.</summary>
    /// <returns>How many calls it began.</returns>
    public async Task<int> TurnAsync(CancellationToken ct)
    {
        await RecordAsync(ct);
        _calls.RemoveAll(call => call.IsCompleted);
        if (_lanes.IsFull) return 0;
        var shares = _lanes.Share(await queue.WaitingAsync(ct));
        if (shares.Count == 0) return 0;
        var claimed = await queue.ClaimAsync(shares, ct);
        foreach (var delivery in claimed) _lanes.Enter(delivery.WebhookNo);
        foreach (var ofApp in claimed.GroupBy(d => d.AppNo)) await BeginAsync(ofApp.Key, [.. ofApp], ct);
        return claimed.Count;
    }

    /// <summary>Returns when all calls under way are over and written down.</summary>
    public async Task SettleAsync(CancellationToken ct)
    {
        await Task.WhenAll(_calls).WaitAsync(ct);
        await RecordAsync(ct);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        // A host that is disposed of stops once more.
        if (Interlocked.Exchange(ref _isStopped, true)) return;
        await base.StopAsync(cancellationToken);
        await Task.WhenAny(Task.WhenAll(_calls), Task.Delay(Grace, clock, cancellationToken));
        await _givenUp.CancelAsync();
        await Task.WhenAll(_calls);
        await RecordAsync(cancellationToken);
    }

    public override void Dispose()
    {
        _givenUp.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var next = signal.Next;
            try
            {
                // A turn takes milliseconds and is let come to its end: a statement that is cancelled may leave its connection in a state that the next one meets.
                var begun = await TurnAsync(CancellationToken.None);
                _lost = false;
                // What is left when there was room for all that was due is due later; a call that ends gives the signal.
                if (begun == 0 || _lanes.IsFull) await signal.WaitAsync(next, Tick, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "A turn of the webhooks failed; going on in {Seconds} s. What it had taken is free again when its lease ends", Tick.TotalSeconds);
                else if (!_lost) log.LogWarning("The database cannot be reached; webhooks go on when it is back: {Message}", e.Message);
                _lost = DatabaseHealth.IsConnectionLoss(e);
                await Task.Delay(Tick, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task BeginAsync(int appNo, DueDelivery[] deliveries, CancellationToken ct)
    {
        try
        {
            // One event goes to several webhooks of an app.
            EventRow[] rows = [.. deliveries.Select(d => d.Event).OfType<EventRow>().DistinctBy(e => e.Seq)];
            var described = rows.Zip(await events.DescribeAsync(appNo, rows, ct)).ToDictionary(pair => pair.First.Seq, pair => pair.Second);
            foreach (var delivery in deliveries)
            {
                if (described.TryGetValue(delivery.Seq, out var happened)) _calls.Add(CallAsync(delivery, happened));
                // The event is kept no longer, or the person whose it was is erased.
                else _finished.Enqueue(new AttemptedDelivery(delivery, Result: null, Again: null));
            }
        }
        catch (Exception e) when (deliveries.Length > 1 && !DatabaseHealth.IsConnectionLoss(e))
        {
            // One that cannot be put together must not keep back the others.
            foreach (var delivery in deliveries) await BeginAsync(appNo, [delivery], ct);
        }
        catch (Exception e)
        {
            // Nobody makes them until their leases end.
            if (!DatabaseHealth.IsConnectionLoss(e)) log.LogError(e, "Event {Seq} of app {App} could not be put together for its webhooks; trying again later", deliveries[0].Seq, appNo);
            foreach (var delivery in deliveries) _lanes.Leave(delivery.WebhookNo, TimeSpan.Zero);
        }
    }

    private async Task CallAsync(DueDelivery delivery, EventView happened)
    {
        // On its own: the loop goes on to the next.
        await Task.Yield();
        try
        {
            string[] secrets = delivery.OldSecret is { } old ? [box.Open(delivery.Secret, delivery.WebhookId), box.Open(old, delivery.WebhookId)] : [box.Open(delivery.Secret, delivery.WebhookId)];
            var result = await sender.SendAsync(delivery.Url, secrets, happened, _givenUp.Token);
            var again = result.Succeeded || result.IsGone ? null : RetryTimes.After(delivery.Attempts + 1, result.RetryAfter, Random.Shared.NextDouble());
            _finished.Enqueue(new AttemptedDelivery(delivery, result, again));
            Telemetry.WebhookCalled(result.Succeeded, again is not null);
        }
        catch (Exception e)
        {
            // Given up, or a fault of ours: a secret whose key is gone, say. Its lease ends, and it is tried again.
            if (e is not OperationCanceledException) log.LogError(e, "A delivery to webhook {Webhook} could not be made; it is tried again", delivery.WebhookId);
            _lanes.Leave(delivery.WebhookNo, WebhookSender.TimeLimit);
            if (e is OperationCanceledException) await GiveBackAsync(delivery);
        }
        finally
        {
            signal.WakeHere();
        }
    }

    private async Task GiveBackAsync(DueDelivery delivery)
    {
        try
        {
            await queue.GiveBackAsync([delivery], CancellationToken.None);
        }
        catch (Exception e)
        {
            log.LogWarning("A delivery could not be given back; it is made when its lease ends: {Message}", e.Message);
        }
    }

    /// <summary>Die before its commit, and the events come once more when their leases end.</summary>
    private async Task RecordAsync(CancellationToken ct)
    {
        var finished = new List<AttemptedDelivery>();
        while (finished.Count < settings.Value.Concurrency && _finished.TryDequeue(out var one)) finished.Add(one);
        if (finished.Count == 0) return;
        IReadOnlyList<int> failing;
        try
        {
            failing = await queue.RecordAsync(finished, TimeSpan.FromDays(settings.Value.DisableAfterDays), ct);
        }
        catch
        {
            foreach (var one in finished) _finished.Enqueue(one);
            throw;
        }
        foreach (var one in finished) _lanes.Leave(one.Delivery.WebhookNo, one.Result?.Took ?? TimeSpan.Zero);
        foreach (var no in finished.Where(f => f.Result?.IsGone == true).Select(f => f.Delivery.WebhookNo).Distinct()) await off.DisableAsync(no, DisabledReason.Gone, ct);
        foreach (var no in failing) await off.DisableAsync(no, DisabledReason.Failing, ct);
    }
}
