using System.Collections.Concurrent;
using System.Security.Cryptography;
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
    ILogger<WebhookDispatcher> log) : StoppedOnce
{
    /// <summary>How long a retry that is due can wait for an idle process.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    /// <summary>What calls get to come to their end when the service is asked to stop; the host waits 10 s.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly WebhookLanes _lanes = new(settings.Value.Concurrency, settings.Value.ConcurrencyPerWebhook, clock);
    private readonly ConcurrentQueue<AttemptedDelivery> _finished = new();

    /// <summary>Begun by the loop, and not looked at by anybody else.</summary>
    private readonly List<Task> _calls = [];
    private readonly CancellationTokenSource _givenUp = new();
    private volatile bool _lost;

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
        foreach (var delivery in claimed) _lanes.Enter(delivery.WebhookNo, delivery.AppNo, delivery.Seq);
        foreach (var ofApp in claimed.GroupBy(d => d.AppNo)) await BeginAsync(ofApp.Key, [.. ofApp], ct);
        return claimed.Count;
    }

    /// <summary>Returns when all calls under way are over and written down.</summary>
    public async Task SettleAsync(CancellationToken ct)
    {
        await Task.WhenAll(_calls).WaitAsync(ct);
        await RecordAsync(ct);
    }

    public override void Dispose()
    {
        _givenUp.Dispose();
        base.Dispose();
    }

    protected override async Task StopOnceAsync(CancellationToken ct)
    {
        await StopLoopAsync(ct);
        await Task.WhenAny(Task.WhenAll(_calls), Task.Delay(Grace, clock, ct));
        await _givenUp.CancelAsync();
        await Task.WhenAll(_calls);
        await RecordAsync(ct);
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
        catch (Exception e) when (!DatabaseHealth.IsConnectionLoss(e))
        {
            log.LogError(e, "Event {Seq} of app {App} could not be put together for its webhook", deliveries[0].Seq, appNo);
            Finish(deliveries[0], CallResult.NotMade("The event could not be put together; the log of the service says why.", clock.GetUtcNow()));
        }
        catch
        {
            // Nobody makes them until their leases end.
            foreach (var delivery in deliveries) Leave(delivery, TimeSpan.Zero);
        }
    }

    private async Task CallAsync(DueDelivery delivery, EventView happened)
    {
        // On its own: the loop goes on to the next.
        await Task.Yield();
        try
        {
            Finish(delivery, await sender.SendAsync(delivery.Url, SecretsOf(delivery), happened, _givenUp.Token));
        }
        catch (OperationCanceledException)
        {
            Leave(delivery, WebhookSender.TimeLimit);
            await GiveBackAsync(delivery);
        }
        catch (Exception e)
        {
            // It counts as an attempt: a delivery that left no trace would be made anew each time its lease ends, for ever.
            log.LogError(e, "A delivery to webhook {Webhook} could not be made", delivery.WebhookId);
            Finish(delivery, CallResult.NotMade(e is CryptographicException or FormatException
                ? "The webhook's secret cannot be opened: the key that sealed it is not in Secrets__Key. Put it back, or rotate the secret with keepOldForHours 0." : "A fault of the service; its log says more.", clock.GetUtcNow()));
        }
        finally
        {
            signal.WakeHere();
        }
    }

    private string[] SecretsOf(DueDelivery delivery) =>
        delivery.OldSecret is { } old ? [box.Open(delivery.Secret, delivery.WebhookId), box.Open(old, delivery.WebhookId)] : [box.Open(delivery.Secret, delivery.WebhookId)];

    private void Finish(DueDelivery delivery, CallResult result)
    {
        var again = result.Succeeded || result.IsGone ? null : RetryTimes.After(delivery.Attempts + 1, result.RetryAfter, Random.Shared.NextDouble());
        _finished.Enqueue(new AttemptedDelivery(delivery, result, again));
        Telemetry.WebhookCalled(result.Succeeded, again is not null);
    }

    private void Leave(DueDelivery delivery, TimeSpan took) => _lanes.Leave(delivery.WebhookNo, delivery.Seq, took);

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
        var failing = new List<(int WebhookNo, string Url)>();
        var written = 0;
        try
        {
            try
            {
                failing.AddRange(await WriteAsync(finished, ct));
                written = finished.Count;
            }
            catch (Exception e) when (!DatabaseHealth.IsConnectionLoss(e))
            {
                // One that the database does not take must not keep back the others.
                log.LogError(e, "What came of {Count} deliveries could not be written down together; going one by one", finished.Count);
                for (; written < finished.Count; written++) failing.AddRange(await WriteOneAsync(finished[written], ct));
            }
        }
        finally
        {
            foreach (var one in finished.Skip(written)) _finished.Enqueue(one);
            foreach (var one in finished.Take(written)) Leave(one.Delivery, one.Result?.Took ?? TimeSpan.Zero);
        }
        foreach (var (no, url) in finished.Where(f => f.Result?.IsGone == true).Select(f => (f.Delivery.WebhookNo, f.Delivery.Url)).Distinct()) await off.DisableAsync(no, url, DisabledReason.Gone, ct);
        foreach (var (no, url) in failing) await off.DisableAsync(no, url, DisabledReason.Failing, ct);
    }

    private Task<IReadOnlyList<(int WebhookNo, string Url)>> WriteAsync(IReadOnlyList<AttemptedDelivery> finished, CancellationToken ct) =>
        queue.RecordAsync(finished, TimeSpan.FromDays(settings.Value.DisableAfterDays), ct);

    /// <summary>If need be without what the receiver said. What cannot be written down even so is dropped here: its lease ends, and it is tried again.</summary>
    private async Task<IReadOnlyList<(int WebhookNo, string Url)>> WriteOneAsync(AttemptedDelivery one, CancellationToken ct)
    {
        try
        {
            return await WriteAsync([one], ct);
        }
        catch (Exception e) when (one.Result is not null && !DatabaseHealth.IsConnectionLoss(e))
        {
            log.LogError(e, "What webhook {Webhook} answered could not be written down", one.Delivery.WebhookId);
        }
        try
        {
            return await WriteAsync([one with { Result = one.Result! with { Error = one.Result.Error is null ? null : "What was wrong could not be written down; the log of the service says why.", Answer = null } }], ct);
        }
        catch (Exception e) when (!DatabaseHealth.IsConnectionLoss(e))
        {
            log.LogError(e, "What came of a delivery to webhook {Webhook} could not be written down; it is made again when its lease ends", one.Delivery.WebhookId);
            return [];
        }
    }
}
