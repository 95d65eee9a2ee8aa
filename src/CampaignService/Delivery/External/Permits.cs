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
            lock (_lock)
            {
                _limit = value;
                LetIn();
            }
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
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            (first ? _first : _others).Enqueue(turn);
            return turn.Task;
        }
    }

    public void Give()
    {
        lock (_lock)
        {
            _taken--;
            LetIn();
        }
    }

    private void LetIn()
    {
        while (_taken < _limit && _first.Count + _others.Count > 0)
        {
            var isFirst = _others.Count == 0 || (_first.Count > 0 && ++_turns % 4 != 0);
            _taken++;
            (isFirst ? _first : _others).Dequeue().SetResult();
        }
    }
}
