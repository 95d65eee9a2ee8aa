using CampaignService.Delivery;

namespace CampaignService.UnitTests.Delivery;

public sealed class SingleFileTests
{
    private readonly SingleFile _line = new(loops: 3);

    [Fact]
    public async Task All_loops_run_side_by_side()
    {
        for (var loop = 0; loop < 3; loop++) await _line.EnterAsync(CancellationToken.None);
        Assert.False(_line.MustLeave);
        Assert.False(_line.EnterAsync(CancellationToken.None).IsCompleted);
    }

    [Fact]
    public async Task One_that_wants_to_be_alone_waits_for_the_others_and_keeps_them_out()
    {
        for (var loop = 0; loop < 3; loop++) await _line.EnterAsync(CancellationToken.None);
        var (began, end) = (new TaskCompletionSource(), new TaskCompletionSource());
        var alone = _line.TryAloneAsync(() => { began.SetResult(); return end.Task; }, CancellationToken.None);
        Assert.True(_line.MustLeave);
        _line.Leave();
        Assert.False(began.Task.IsCompleted);
        _line.Leave();
        await began.Task;
        var newcomer = _line.EnterAsync(CancellationToken.None);
        Assert.False(newcomer.IsCompleted);
        end.SetResult();
        Assert.True(await alone);
        await newcomer;
        Assert.False(_line.MustLeave);
    }

    [Fact]
    public async Task Of_two_that_want_to_be_alone_one_is_turned_away()
    {
        await _line.EnterAsync(CancellationToken.None);
        await _line.EnterAsync(CancellationToken.None);
        var first = _line.TryAloneAsync(() => Task.CompletedTask, CancellationToken.None);
        Assert.False(await _line.TryAloneAsync(() => throw new InvalidOperationException(), CancellationToken.None));
        _line.Leave();
        Assert.True(await first);
    }

    [Fact]
    public async Task What_fails_alone_lets_the_others_in_again()
    {
        await _line.EnterAsync(CancellationToken.None);
        await Assert.ThrowsAsync<InvalidOperationException>(() => _line.TryAloneAsync(() => throw new InvalidOperationException(), CancellationToken.None));
        _line.Leave();
        for (var loop = 0; loop < 3; loop++) await _line.EnterAsync(CancellationToken.None);
    }
}
