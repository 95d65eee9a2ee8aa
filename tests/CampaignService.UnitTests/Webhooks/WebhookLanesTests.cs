using CampaignService.Webhooks;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Webhooks;

public class WebhookLanesTests
{
    private const int AtOnce = 40, ToOne = 8;
    private static readonly TimeSpan Quick = TimeSpan.FromMilliseconds(20), Slow = TimeSpan.FromSeconds(15);

    private readonly Clock _clock = new();
    private readonly List<(int No, long Seq)> _under = [];

    /// <summary>Of whom a webhook is.</summary>
    private Func<int, int> _appOf = no => no;
    private long _seq;

    [Fact]
    public void However_many_are_dead_who_answers_finds_room()
    {
        var lanes = New();
        // Each of an app of its own; each was slow once, and each has more than it could ever send.
        (int, int)[] dead = [.. Enumerable.Range(1, 100).Select(no => (no, no))];
        foreach (var (no, _) in dead) Call(lanes, no, Slow);
        Call(lanes, 101, Quick);
        for (var turn = 0; turn < 100; turn++) Begin(lanes, lanes.Share(dead));
        Assert.Equal([(101, ToOne)], lanes.Share([.. dead, (101, 101)]));
    }

    [Fact]
    public void However_many_were_never_called_who_answers_finds_room()
    {
        var lanes = New();
        Call(lanes, 101, Quick);
        (int, int)[] unknown = [.. Enumerable.Range(1, 100).Select(no => (no, no))];
        for (var turn = 0; turn < 100; turn++) Begin(lanes, lanes.Share(unknown));
        Assert.Equal([(101, ToOne)], lanes.Share([.. unknown, (101, 101)]));
    }

    [Fact]
    public void One_is_quick_no_longer_than_no_call_of_it_takes_long()
    {
        var lanes = New();
        for (var no = 1; no <= 10; no++) Call(lanes, no, Quick);
        (int, int)[] hanging = [.. Enumerable.Range(1, 9).Select(no => (no, no))];
        Begin(lanes, lanes.Share([(1, 1), (2, 2)]));
        Assert.Equal([(3, ToOne)], lanes.Share([(3, 3)]));
        _clock.Now += 1_500;
        // The sixteen that hang are of the slow half by now, which has room for two each of two more.
        for (var no = 3; no <= 9; no++) Call(lanes, no, Slow);
        Begin(lanes, lanes.Share(hanging));
        Assert.Equal([(10, ToOne)], lanes.Share([.. hanging, (10, 10)]));
    }

    [Fact]
    public void An_app_gets_half_at_most()
    {
        var lanes = New();
        _appOf = no => no < 20 ? 1 : 2;
        for (var no = 1; no <= 20; no++) Call(lanes, no, Quick);
        (int, int)[] ofOne = [.. Enumerable.Range(1, 19).Select(no => (no, 1))];
        for (var turn = 0; turn < 10; turn++) Begin(lanes, lanes.Share(ofOne));
        Assert.Equal([(20, ToOne)], lanes.Share([.. ofOne, (20, 2)]));
        Assert.Equal(AtOnce / 2, _under.Count);
    }

    [Fact]
    public void One_that_is_slow_can_still_take_a_second_event_beside_one_that_hangs()
    {
        var lanes = New();
        Call(lanes, 1, Slow);
        Assert.Equal([(1, 2)], lanes.Share([(1, 1)]));
    }

    [Fact]
    public void One_that_has_become_quick_again_gets_all_of_its_room()
    {
        var lanes = New();
        Call(lanes, 1, Slow);
        Call(lanes, 1, Quick);
        Assert.Equal([(1, ToOne)], lanes.Share([(1, 1)]));
    }

    [Fact]
    public void The_dead_of_an_app_leave_room_for_its_others()
    {
        var lanes = New();
        _appOf = _ => 1;
        (int, int)[] dead = [.. Enumerable.Range(1, 30).Select(no => (no, 1))];
        foreach (var (no, _) in dead) Call(lanes, no, Slow);
        Call(lanes, 31, Quick);
        for (var turn = 0; turn < 100; turn++) Begin(lanes, lanes.Share(dead));
        Assert.Equal([(31, ToOne)], lanes.Share([.. dead, (31, 1)]));
    }

    [Theory]
    [InlineData(20)]
    [InlineData(15_000)]
    public void All_who_wait_come_in_turn(int milliseconds)
    {
        var (lanes, took) = (New(), TimeSpan.FromMilliseconds(milliseconds));
        for (var no = 1; no <= 50; no++) Call(lanes, no, took);
        (int No, int)[] waiting = [.. Enumerable.Range(1, 50).Select(no => (no, no))];
        var served = new List<int>();
        for (var turn = 0; turn < 12; turn++)
        {
            var shares = lanes.Share(waiting);
            Begin(lanes, shares);
            served.AddRange(shares.Select(s => s.WebhookNo));
            foreach (var (no, seq) in _under) lanes.Leave(no, seq, took);
            _under.Clear();
        }
        Assert.True(served.Count > 50, $"only {served.Count} were served");
        Assert.Equal(served.Select((_, i) => waiting[i % 50].No), served);
    }

    /// <summary>Any order of beginnings and ends, any times: never more than there may be.</summary>
    [Fact]
    public void It_never_lets_more_through_than_it_may() => Prop.ForAll(Gen.Choose(0, 5_000).ArrayOf(200).ToArbitrary(), steps =>
    {
        var lanes = New();
        _appOf = no => no % 3;
        _under.Clear();
        foreach (var step in steps)
        {
            if (step % 2 == 0) Begin(lanes, lanes.Share([.. Enumerable.Range(1, 12).Select(no => (no, no % 3))]));
            else if (_under.Count > 0)
            {
                var (no, seq) = _under[step % _under.Count];
                lanes.Leave(no, seq, step % 3 == 0 ? Slow : Quick);
                _under.Remove((no, seq));
            }
            _clock.Now += step % 700;
            if (_under.Count > AtOnce || _under.GroupBy(c => c.No).Any(g => g.Count() > ToOne) || _under.GroupBy(c => c.No % 3).Any(g => g.Count() > AtOnce / 2) || lanes.IsFull != (_under.Count == AtOnce)) return false;
        }
        return true;
    }).QuickCheckThrowOnFailure();

    private WebhookLanes New() => new(AtOnce, ToOne, _clock);

    private void Call(WebhookLanes lanes, int no, TimeSpan took)
    {
        lanes.Enter(no, _appOf(no), ++_seq);
        lanes.Leave(no, _seq, took);
    }

    private void Begin(WebhookLanes lanes, IReadOnlyList<(int WebhookNo, int AtMost)> shares)
    {
        foreach (var (no, n) in shares)
        {
            for (var i = 0; i < n; i++)
            {
                lanes.Enter(no, _appOf(no), ++_seq);
                _under.Add((no, _seq));
            }
        }
    }

    private sealed class Clock : TimeProvider
    {
        /// <summary>In milliseconds.</summary>
        public long Now { get; set; }

        public override long TimestampFrequency => 1_000;

        public override long GetTimestamp() => Now;
    }
}
