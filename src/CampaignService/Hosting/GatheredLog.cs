using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting;

namespace CampaignService.Hosting;

/// <summary>
/// Gathers lines for a moment and writes them together: a write for each request would cost a busy service a fifth of its time. A warning
/// or worse is written at once, behind all that was gathered. Die here: the lines of that moment, which told of nothing wrong, are missing.
/// </summary>
public sealed class GatheredLog : ILogEventSink, IDisposable
{
    private const int MostGathered = 64 * 1024;

    private readonly ITextFormatter _formatter;
    private readonly Lock _lock = new();
    private readonly StringWriter _lines = new(System.Globalization.CultureInfo.InvariantCulture);
    private readonly TextWriter _output;
    private readonly TimeSpan _longest;
    private readonly Timer _timer;
    private bool _isAwaited;

    /// <param name="formatter">Writes one event as a line.</param>
    /// <param name="output">Where the lines go.</param>
    /// <param name="longest">How long a line waits for others.</param>
    public GatheredLog(ITextFormatter formatter, TextWriter output, TimeSpan longest)
    {
        (_formatter, _output, _longest) = (formatter, output, longest);
        _timer = new Timer(_ => Flush());
    }

    public void Emit(LogEvent logEvent)
    {
        lock (_lock)
        {
            _formatter.Format(logEvent, _lines);
            if (logEvent.Level >= LogEventLevel.Warning || _lines.GetStringBuilder().Length >= MostGathered)
            {
                Write();
            }
            else if (!_isAwaited)
            {
                _isAwaited = true;
                _timer.Change(_longest, Timeout.InfiniteTimeSpan);
            }
        }
    }

    public void Dispose()
    {
        _timer.Dispose();
        Flush();
    }

    private void Flush()
    {
        lock (_lock)
        {
            _isAwaited = false;
            Write();
        }
    }

    private void Write()
    {
        var lines = _lines.GetStringBuilder();
        if (lines.Length == 0) return;
        _output.Write(lines.ToString());
        _output.Flush();
        lines.Clear();
    }
}
