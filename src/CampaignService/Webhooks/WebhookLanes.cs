namespace CampaignService.Webhooks;

/// <summary>
/// How many calls may be under way: over all, and to each webhook, in turn. One whose last answer took long, or never came, gets fewer, and
/// all such together at most half: however many of them there are, the others find room.
/// </summary>
/// <param name="atOnce">Calls over all.</param>
/// <param name="toOne">Calls to one webhook.</param>
public sealed class WebhookLanes(int atOnce, int toOne)
{
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(1);

    private readonly Dictionary<int, Lane> _lanes = [];
    private readonly Lock _lock = new();
    private int _underWay;
    private int _slowUnderWay;
    private int _last;

    /// <summary>Still enough that one event that hangs does not hold up the next.</summary>
    private int ToSlowOne => Math.Max(2, toOne / 4);

    public bool IsFull => Volatile.Read(ref _underWay) >= atOnce;

    /// <summary>Shares the room that there is among those who wait, beginning behind the one that was served last.</summary>
    /// <param name="waiting">In order.</param>
    public IReadOnlyList<(int WebhookNo, int AtMost)> Share(IReadOnlyList<int> waiting)
    {
        lock (_lock)
        {
            var (room, slowRoom) = (atOnce - _underWay, (atOnce / 2) - _slowUnderWay);
            var shares = new List<(int, int)>();
            foreach (var no in waiting.Where(no => no > _last).Concat(waiting.Where(no => no <= _last)))
            {
                var lane = _lanes.GetValueOrDefault(no);
                var share = lane is { IsSlow: true } ? Math.Min(ToSlowOne - lane.UnderWay, slowRoom) : toOne - (lane?.UnderWay ?? 0);
                share = Math.Min(share, room);
                if (share <= 0) continue;
                shares.Add((no, share));
                room -= share;
                if (lane is { IsSlow: true }) slowRoom -= share;
                _last = no;
            }
            return shares;
        }
    }

    /// <summary>A call begins.</summary>
    public void Enter(int no)
    {
        lock (_lock)
        {
            if (!_lanes.TryGetValue(no, out var lane)) _lanes.Add(no, lane = new Lane());
            lane.UnderWay++;
            _underWay++;
            if (lane.IsSlow) _slowUnderWay++;
        }
    }

    /// <summary>A call is over, and what came of it is written down.</summary>
    public void Leave(int no, TimeSpan took)
    {
        lock (_lock)
        {
            var lane = _lanes[no];
            if (lane.IsSlow) _slowUnderWay -= lane.UnderWay;
            lane.UnderWay--;
            _underWay--;
            lane.IsSlow = took >= Slow;
            if (lane.IsSlow) _slowUnderWay += lane.UnderWay;
            // A webhook that is idle and quick is as one that was never called.
            else if (lane.UnderWay == 0) _lanes.Remove(no);
        }
    }

    private sealed class Lane
    {
        public int UnderWay { get; set; }

        public bool IsSlow { get; set; }
    }
}
