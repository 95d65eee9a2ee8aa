using System.Globalization;
using CampaignService.Hosting;
using Serilog;
using Serilog.Formatting.Display;

namespace CampaignService.UnitTests.Hosting;

public sealed class GatheredLogTests
{
    /// <summary>However busy the machine: no test gets there.</summary>
    private static readonly TimeSpan Never = TimeSpan.FromHours(1);

    [Fact]
    public void Lines_wait_for_each_other_and_a_warning_brings_them_all_in_their_order()
    {
        using var output = new Output();
        using var logger = LoggerTo(output);
        logger.Information("one");
        logger.Information("two");
        Assert.Equal(0, output.Writes);
        logger.Warning("three");
        Assert.Equal("one\ntwo\nthree\n", output.ToString());
        Assert.Equal(1, output.Writes);
    }

    [Fact]
    public async Task A_line_does_not_wait_for_another()
    {
        using var output = new Output();
        using var logger = LoggerTo(output, TimeSpan.FromMilliseconds(1));
        logger.Information("alone");
        await output.Written.Task.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal("alone\n", output.ToString());
    }

    [Fact]
    public void The_end_brings_what_was_gathered()
    {
        using var output = new Output();
        using (var logger = LoggerTo(output)) logger.Information("last");
        Assert.Equal("last\n", output.ToString());
    }

    [Fact]
    public void Much_is_not_gathered_for_long()
    {
        using var output = new Output();
        using var logger = LoggerTo(output);
        for (var i = 0; i < 10_000; i++) logger.Information("one of many lines");
        Assert.InRange(output.Writes, 2, 10);
    }

    private static Serilog.Core.Logger LoggerTo(TextWriter output, TimeSpan? longest = null) =>
        new LoggerConfiguration().WriteTo.Sink(new GatheredLog(new MessageTemplateTextFormatter("{Message:l}\n", CultureInfo.InvariantCulture), output, longest ?? Never)).CreateLogger();

    private sealed class Output : StringWriter
    {
        public Output()
            : base(CultureInfo.InvariantCulture)
        {
        }

        public int Writes { get; private set; }

        public TaskCompletionSource Written { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override void Flush()
        {
            Writes++;
            Written.TrySetResult();
        }
    }
}
