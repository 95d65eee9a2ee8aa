namespace CampaignService.Webhooks;

/// <summary>
/// How many calls may be under way: over all, to each webhook, and for each app half of all, in turn. A webhook is quick when its last answer
/// came soon and no call to it is taking long at this moment. All others, also those never called, get a quarter each, and together at most half,
/// those of one app half of its own: however many of them there are, the quick ones find room.
/// </summary>
/// <param name="atOnce">Calls over all.</param>
/// <param name="toOne">Calls to one webhook.</param>
/// <param name="clock">Says how long calls have been under way.</param>
public sealed class WebhookLanes(int atOnce, int toOne, TimeProvider clock)
{
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(1);

    private readonly Dictionary<int, Lane> _lanes = [];
    private readonly Lock _lock = new();
    private int _underWay;
    private int _lastQuick;
    private int _lastSlow;

    /// <summary>Still enough that one event that hangs does not hold up the next.</summary>
    private int Few => Math.Max(2, toOne / 4);

    private int Half => Math.Max(2, atOnce / 2);

    public bool IsFull => Volatile.Read(ref _underWay) >= atOnce;

    /// <summary>Shares the room that there is among those who wait, beginning behind the one that was served last.</summary>
    /// <param name="waiting">In order.</param>
    public IReadOnlyList<(int WebhookNo, int AtMost)> Share(IReadOnlyList<(int WebhookNo, int AppNo)> waiting)
    {
        lock (_lock)
        {
            var busy = _lanes.Values.Where(l => l.Calls.Count > 0).Select(l => (l.AppNo, n: l.Calls.Count, slow: IsQuick(l) ? 0 : l.Calls.Count)).ToArray();
            var (room, slowRoom) = (atOnce - _underWay, Half - busy.Sum(l => l.slow));
            var ofApps = busy.GroupBy(l => l.AppNo).ToDictionary(g => g.Key, g => (All: Half - g.Sum(l => l.n), Slow: (Half / 2) - g.Sum(l => l.slow)));
            var shares = new List<(int, int)>();
            var byPace = waiting.ToLookup(w => _lanes.TryGetValue(w.WebhookNo, out var lane) && IsQuick(lane));
            // Each kind in its own turn, and first the one that cannot take all.
            _lastSlow = Serve([.. byPace[false]], _lastSlow, isQuick: false);
            _lastQuick = Serve([.. byPace[true]], _lastQuick, isQuick: true);
            return shares;

            int Serve((int WebhookNo, int AppNo)[] those, int last, bool isQuick)
            {
                var served = last;
                foreach (var (no, app) in those.Where(w => w.WebhookNo > last).Concat(those.Where(w => w.WebhookNo <= last)))
                {
                    var ofApp = ofApps.GetValueOrDefault(app, (All: Half, Slow: Half / 2));
                    var share = Math.Min(Math.Min(room, ofApp.All), (isQuick ? toOne : Few) - (_lanes.GetValueOrDefault(no)?.Calls.Count ?? 0));
                    if (!isQuick) share = Math.Min(share, Math.Min(slowRoom, ofApp.Slow));
                    if (share <= 0) continue;
                    shares.Add((no, share));
                    room -= share;
                    if (!isQuick) slowRoom -= share;
                    ofApps[app] = (ofApp.All - share, isQuick ? ofApp.Slow : ofApp.Slow - share);
                    served = no;
                }
                return served;
            }
        }
    }

    /// <summary>A call begins.</summary>
    /// <param name="no">To which webhook.</param>
    /// <param name="app">Whose that is.</param>
    /// <param name="seq">With which event.</param>
    public void Enter(int no, int app, long seq)
    {
        lock (_lock)
        {
            if (!_lanes.TryGetValue(no, out var lane)) _lanes.Add(no, lane = new Lane(app));
            lane.Calls.Add((seq, clock.GetTimestamp()));
            _underWay++;
        }
    }

    /// <summary>A call is over, and what came of it is written down.</summary>
    public void Leave(int no, long seq, TimeSpan took)
    {
        lock (_lock)
        {
            var lane = _lanes[no];
            lane.Calls.RemoveAt(lane.Calls.FindIndex(c => c.Seq == seq));
            lane.WasQuick = took < Slow;
            _underWay--;
        }
    }

    private bool IsQuick(Lane lane) => lane.WasQuick && lane.Calls.TrueForAll(c => clock.GetElapsedTime(c.Since) < Slow);

    private sealed class Lane(int appNo)
    {
        public int AppNo => appNo;

        /// <summary>False also when it was never called.</summary>
        public bool WasQuick { get; set; }

        /// <summary>Those under way.</summary>
        public List<(long Seq, long Since)> Calls { get; } = [];
    }
}
