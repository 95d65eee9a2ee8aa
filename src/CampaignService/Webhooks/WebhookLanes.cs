namespace CampaignService.Webhooks;

/// <summary>
/// How many calls may be under way: over all, and to each webhook, in turn. One whose last answer took long, or never came, gets a quarter, and
/// all such together at most half: however many of them there are, the others find room. One that was never called gets a quarter, too.
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

    private enum Pace
    {
        Unknown,
        Quick,
        Slow,
    }

    /// <summary>Still enough that one event that hangs does not hold up the next.</summary>
    private int Few => Math.Max(2, toOne / 4);

    public bool IsFull => Volatile.Read(ref _underWay) >= atOnce;

    /// <summary>Shares the room that there is among those who wait, beginning behind the one that was served last.</summary>
    /// <param name="waiting">In order.</param>
    public IReadOnlyList<(int WebhookNo, int AtMost)> Share(IReadOnlyList<int> waiting)
    {
        lock (_lock)
        {
            var (room, slowRoom, last) = (atOnce - _underWay, (atOnce / 2) - _slowUnderWay, _last);
            var shares = new List<(int, int)>();
            foreach (var no in waiting.Where(no => no > last).Concat(waiting.Where(no => no <= last)))
            {
                var lane = _lanes.GetValueOrDefault(no);
                var isSlow = lane?.Pace == Pace.Slow;
                var share = Math.Min(room, (lane?.Pace == Pace.Quick ? toOne : Few) - (lane?.UnderWay ?? 0));
                if (isSlow) share = Math.Min(share, slowRoom);
                if (share <= 0) continue;
                shares.Add((no, share));
                room -= share;
                if (isSlow) slowRoom -= share;
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
            if (lane.Pace == Pace.Slow) _slowUnderWay++;
        }
    }

    /// <summary>A call is over, and what came of it is written down.</summary>
    public void Leave(int no, TimeSpan took)
    {
        lock (_lock)
        {
            var lane = _lanes[no];
            if (lane.Pace == Pace.Slow) _slowUnderWay -= lane.UnderWay;
            lane.UnderWay--;
            _underWay--;
            lane.Pace = took >= Slow ? Pace.Slow : Pace.Quick;
            if (lane.Pace == Pace.Slow) _slowUnderWay += lane.UnderWay;
        }
    }

    private sealed class Lane
    {
        public int UnderWay { get; set; }

        public Pace Pace { get; set; }
    }
}
