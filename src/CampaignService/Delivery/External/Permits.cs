namespace CampaignService.Delivery.External;

/// <summary>Lets so many through at once, in the order in which they come, but those with precedence first, except for every fourth: a flood of them must not bring the others to a stop. The number may change at any time.</summary>
internal sealed class Permits(int limit)
{
    private readonly Lock _lock = new();
    private readonly Queue<TaskCompletionSource> _first = new(), _others = new();
    private int _limit = limit, _taken;
    private uint _turns;

    public int Limit
    {
        get => _limit;
        set
        {
            lock (_lock) _limit = value;
            // Whoever changes it is not to make the calls that it lets begin.
            while (Next(given: 0) is { } turn) ThreadPool.UnsafeQueueUserWorkItem(static turn => turn.SetResult(), turn, preferLocal: false);
        }
    }

    public Task TakeAsync(bool first)
    {
        lock (_lock)
        {
            if (_taken < _limit && _first.Count + _others.Count == 0)
            {
                _taken++;
                return Task.CompletedTask;
            }
            // Not asynchronously: a change of thread for each call costs more than all else that is done for one.
            var turn = new TaskCompletionSource();
            (first ? _first : _others).Enqueue(turn);
            return turn.Task;
        }
    }

    /// <summary>Gives one back, and lets whoever is next go on, within this call.</summary>
    public void Give()
    {
        for (var turn = Next(given: 1); turn is not null; turn = Next(given: 0)) turn.SetResult();
    }

    private TaskCompletionSource? Next(int given)
    {
        lock (_lock)
        {
            _taken -= given;
            if (_taken >= _limit || _first.Count + _others.Count == 0) return null;
            var isFirst = _others.Count == 0 || (_first.Count > 0 && ++_turns % 4 != 0);
            _taken++;
            return (isFirst ? _first : _others).Dequeue();
        }
    }
}
