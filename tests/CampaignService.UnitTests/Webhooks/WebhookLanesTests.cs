using CampaignService.Webhooks;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Webhooks;

public class WebhookLanesTests
{
    private const int AtOnce = 40, ToOne = 8;
    private static readonly TimeSpan Quick = TimeSpan.FromMilliseconds(20), Slow = TimeSpan.FromSeconds(15);

    [Fact]
    public void However_many_are_dead_who_answers_finds_room()
    {
        var lanes = new WebhookLanes(AtOnce, ToOne);
        int[] dead = [.. Enumerable.Range(1, 100)];
        // Each was slow once, and each has more than it could ever send.
        foreach (var no in dead) Call(lanes, no, Slow);
        for (var turn = 0; turn < 100; turn++) Begin(lanes, lanes.Share(dead));
        Assert.Equal([(101, 2)], lanes.Share([.. dead, 101]));
        Call(lanes, 101, Quick);
        Assert.Equal([(101, ToOne)], lanes.Share([.. dead, 101]));
    }

    [Fact]
    public void One_that_is_slow_can_still_take_a_second_event_beside_one_that_hangs()
    {
        var lanes = new WebhookLanes(AtOnce, ToOne);
        Call(lanes, 1, Slow);
        Assert.Equal([(1, 2)], lanes.Share([1]));
    }

    [Fact]
    public void One_that_has_become_quick_again_gets_all_of_its_room()
    {
        var lanes = new WebhookLanes(AtOnce, ToOne);
        Call(lanes, 1, Slow);
        Call(lanes, 1, Quick);
        Assert.Equal([(1, ToOne)], lanes.Share([1]));
    }

    [Fact]
    public void All_who_wait_come_in_turn()
    {
        var lanes = new WebhookLanes(AtOnce, ToOne);
        int[] waiting = [.. Enumerable.Range(1, 50)];
        var served = new List<int>();
        for (var turn = 0; turn < 10; turn++)
        {
            var shares = lanes.Share(waiting);
            Begin(lanes, shares);
            served.AddRange(shares.Select(s => s.WebhookNo));
            foreach (var (no, n) in shares) Repeat(n, () => lanes.Leave(no, Quick));
        }
        Assert.True(served.Count > 50, $"only {served.Count} were served");
        Assert.Equal(served.Select((_, i) => waiting[i % 50]), served);
    }

    /// <summary>Any order of beginnings and ends, any times: never more than there may be.</summary>
    [Fact]
    public void It_never_lets_more_through_than_it_may() => Prop.ForAll(Gen.Choose(0, 5_000).ArrayOf(200).ToArbitrary(), steps =>
    {
        var lanes = new WebhookLanes(AtOnce, ToOne);
        var underWay = new List<int>();
        foreach (var step in steps)
        {
            if (step % 2 == 0)
            {
                foreach (var (no, n) in lanes.Share([.. Enumerable.Range(1, 12)])) Repeat(n, () => { lanes.Enter(no); underWay.Add(no); });
            }
            else if (underWay.Count > 0)
            {
                var ends = step % underWay.Count;
                lanes.Leave(underWay[ends], step % 3 == 0 ? Slow : Quick);
                underWay.RemoveAt(ends);
            }
            if (underWay.Count > AtOnce || underWay.GroupBy(no => no).Any(g => g.Count() > ToOne) || lanes.IsFull != (underWay.Count == AtOnce)) return false;
        }
        return true;
    }).QuickCheckThrowOnFailure();

    private static void Call(WebhookLanes lanes, int no, TimeSpan took)
    {
        lanes.Enter(no);
        lanes.Leave(no, took);
    }

    private static void Begin(WebhookLanes lanes, IReadOnlyList<(int WebhookNo, int AtMost)> shares)
    {
        foreach (var (no, n) in shares) Repeat(n, () => lanes.Enter(no));
    }

    private static void Repeat(int times, Action act)
    {
        for (var i = 0; i < times; i++) act();
    }
}
