using CampaignService.Notifications;

namespace CampaignService.UnitTests.Notifications;

/// <summary>Ids of direct notifications come in blocks from the database.</summary>
public sealed class NotificationIdsTests
{
    private const int Block = 2048;

    private readonly Clock _clock = new();
    private readonly NotificationIds _ids = new();

    [Fact]
    public void There_are_none_before_a_block_came_and_none_of_one_that_is_a_second_old()
    {
        Assert.Null(_ids.Take(1, _clock));
        _ids.Renew(10 * Block, _clock);
        Assert.Equal(10 * Block, _ids.Take(5, _clock));
        Assert.Equal((10 * Block) + 5, _ids.Take(1, _clock));
        _clock.Pass(TimeSpan.FromSeconds(1));
        Assert.Null(_ids.Take(1, _clock));
    }

    [Fact]
    public void Another_block_is_wanted_when_half_of_it_is_used_or_it_is_some_time_old()
    {
        Assert.True(_ids.AreWanted(_clock));
        _ids.Renew(10 * Block, _clock);
        Assert.False(_ids.AreWanted(_clock));
        _ids.Take((Block / 2) + 1, _clock);
        Assert.True(_ids.AreWanted(_clock));
        _ids.Renew(11 * Block, _clock);
        Assert.False(_ids.AreWanted(_clock));
        _clock.Pass(TimeSpan.FromMilliseconds(50));
        Assert.True(_ids.AreWanted(_clock));
    }

    [Fact]
    public void A_block_that_comes_late_does_not_take_the_place_of_a_newer_one()
    {
        _ids.Renew(11 * Block, _clock);
        _ids.Renew(10 * Block, _clock);
        Assert.Equal(11 * Block, _ids.Take(1, _clock));
    }

    private sealed class Clock : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Pass(TimeSpan time) => _now += time.Ticks;
    }
}
