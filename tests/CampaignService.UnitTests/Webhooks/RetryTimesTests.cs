using CampaignService.Webhooks;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Webhooks;

public class RetryTimesTests
{
    private static readonly double[] Seconds = [5, 30, 120, 600, 3_600, 21_600, 86_400];

    private static readonly Gen<(int Attempts, double Chance)> Failures = from attempts in Gen.Choose(1, 7) from chance in Gen.Choose(0, 1_000_000) select (attempts, chance / 1_000_000.0);

    [Fact]
    public void Each_retry_comes_a_fifth_earlier_or_later_at_most() => Prop.ForAll(Failures.ToArbitrary(), f =>
        RetryTimes.After(f.Attempts, null, f.Chance)!.Value.TotalSeconds / Seconds[f.Attempts - 1] is >= 0.8 - 1e-9 and <= 1.2 + 1e-9).QuickCheckThrowOnFailure();

    [Fact]
    public void The_whole_breadth_is_used()
    {
        Assert.Equal(4, RetryTimes.After(1, null, 0)!.Value.TotalSeconds, 6);
        Assert.Equal(6, RetryTimes.After(1, null, 1)!.Value.TotalSeconds, 6);
    }

    [Fact]
    public void Later_retries_wait_longer_whatever_the_chance() => Prop.ForAll((from a in Failures from b in Failures select (A: a, B: b)).ToArbitrary(), pair =>
        pair.A.Attempts >= pair.B.Attempts || RetryTimes.After(pair.A.Attempts, null, pair.A.Chance) < RetryTimes.After(pair.B.Attempts, null, pair.B.Chance)).QuickCheckThrowOnFailure();

    [Fact]
    public void The_eighth_attempt_is_the_last()
    {
        Assert.Equal(8, RetryTimes.MaxAttempts);
        Assert.NotNull(RetryTimes.After(7, null, 0.5));
        Assert.Null(RetryTimes.After(8, TimeSpan.FromSeconds(1), 0.5));
    }

    [Theory]
    [InlineData(60, 60)]
    [InlineData(1, 5)]
    [InlineData(-5, 5)]
    [InlineData(10_000_000, 21_600)]
    public void A_receiver_may_ask_for_more_time_but_not_for_more_than_six_hours(int asked, int expected) =>
        Assert.Equal(expected, RetryTimes.After(1, TimeSpan.FromSeconds(asked), 0.5)!.Value.TotalSeconds, 6);
}
