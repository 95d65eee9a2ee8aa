using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using CampaignService.Common;

namespace CampaignService.Hosting;

/// <summary>
/// <c>GET /metrics</c> in the text format of Prometheus (0.0.4): what this process counted since it started, our own and a few of the
/// platform's. It is open unless <c>Metrics__Key</c> is set.
/// </summary>
public sealed class Metrics : IDisposable
{
    /// <summary>Beyond it, further label values of one metric are counted together.</summary>
    public const int MaxSeries = 1_000;

    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    /// <summary>Of our own meter everything is shown, of others only this.</summary>
    private static readonly HashSet<string> Shown =
    [
        "http.server.request.duration", "http.server.active_requests",
        "db.client.connection.count", "db.client.connection.max", "db.client.connection.npgsql.pending_requests", "db.client.connection.npgsql.timeouts",
        "dotnet.process.cpu.time", "dotnet.process.memory.working_set", "dotnet.gc.collections", "dotnet.gc.pause.time", "dotnet.thread_pool.queue.length",
    ];

    /// <summary>Whose values are few. Others, such as the method as the caller wrote it, are for the caller to choose.</summary>
    private static readonly HashSet<string> Labels =
    [
        "channel_type", "status", "result", "http.request.method", "http.route", "http.response.status_code",
        "db.client.connection.pool.name", "db.client.connection.state", "cpu.mode", "gc.heap.generation",
    ];

    private readonly ConcurrentDictionary<string, Family> _families = new();
    private readonly MeterListener _listener = new();
    private readonly Lock _reading = new();
    private readonly string? _key;

    public Metrics(IConfiguration configuration)
    {
        _key = configuration["Metrics:Key"];
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name != Telemetry.MeterName && !Shown.Contains(instrument.Name)) return;
            listener.EnableMeasurementEvents(instrument, _families.GetOrAdd(NameOf(instrument), name => new Family(name, instrument)));
        };
        _listener.SetMeasurementEventCallback<int>((_, value, tags, family) => ((Family)family!).Add(value, tags));
        _listener.SetMeasurementEventCallback<long>((_, value, tags, family) => ((Family)family!).Add(value, tags));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, family) => ((Family)family!).Add(value, tags));
        _listener.Start();
        Telemetry.Begin();
    }

    public void Dispose() => _listener.Dispose();

    public async Task AnswerAsync(HttpContext http)
    {
        if (!MayRead(http.Request))
        {
            http.Response.Headers.WWWAuthenticate = "Bearer";
            await Problem.WriteAsync(http, Errors.Unauthorized("Send the key of Metrics__Key as Authorization: Bearer … or in the header metricsKey."));
            return;
        }
        http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await http.Response.WriteAsync(Text(), http.RequestAborted);
    }

    internal string Text()
    {
        var text = new StringBuilder();
        lock (_reading)
        {
            // What is observed is told anew each time: what is gone is not told.
            foreach (var family in _families.Values.Where(f => f.IsObserved)) family.Clear();
            _listener.RecordObservableInstruments();
            foreach (var family in _families.Values.OrderBy(f => f.Name, StringComparer.Ordinal)) family.Write(text);
        }
        return text.ToString();
    }

    private bool MayRead(HttpRequest request)
    {
        if (string.IsNullOrEmpty(_key)) return true;
        string? bearer = request.Headers.Authorization, given = request.Headers["metricsKey"];
        if (bearer?.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) == true) given = bearer["Bearer ".Length..].Trim();
        return given is not null && Secret.Equal(given, _key);
    }

    /// <summary>As Prometheus would have it: the unit and, of what only rises, <c>_total</c> at its end.</summary>
    private static string NameOf(Instrument instrument)
    {
        var unit = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
        return instrument.Name.Replace('.', '_') + unit + (KindOf(instrument) == "counter" ? "_total" : "");
    }

    private static string KindOf(Instrument instrument)
    {
        var type = instrument.GetType().GetGenericTypeDefinition();
        return type == typeof(Histogram<>) ? "histogram" : type == typeof(Counter<>) || type == typeof(ObservableCounter<>) ? "counter" : "gauge";
    }

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString(CultureInfo.InvariantCulture);

    /// <summary>All series of one name.</summary>
    private sealed class Family(string name, Instrument instrument)
    {
        private readonly ConcurrentDictionary<string, Series> _series = new();

        /// <summary>The same by their tags as they come, so that to count costs a busy service next to nothing.</summary>
        private readonly ConcurrentDictionary<string, Series> _byTags = new();
        private readonly string _kind = KindOf(instrument), _help = (instrument.Description ?? "").Replace("\\", "\\\\").Replace("\n", "\\n");
        private readonly bool _replaces = instrument.IsObservable || instrument.GetType().GetGenericTypeDefinition() == typeof(Gauge<>);

        public string Name => name;

        public bool IsObserved => instrument.IsObservable;

        public void Clear()
        {
            _series.Clear();
            _byTags.Clear();
        }

        public void Add(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            Span<char> raw = stackalloc char[512];
            var length = WriteRaw(tags, raw);
            if (length > 0 && _byTags.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(raw[..length], out var known))
            {
                known.Add(value, _replaces);
                return;
            }
            var labels = LabelsOf(tags);
            if (!_series.TryGetValue(labels, out var series))
            {
                series = _series.GetOrAdd(_series.Count < MaxSeries ? labels : "overflow=\"true\"", _ => new Series(_kind == "histogram"));
            }
            if (length > 0 && _byTags.Count < MaxSeries) _byTags[raw[..length].ToString()] = series;
            series.Add(value, _replaces);
        }

        public void Write(StringBuilder text)
        {
            text.Append("# HELP ").Append(name).Append(' ').Append(_help).Append("\n# TYPE ").Append(name).Append(' ').Append(_kind).Append('\n');
            foreach (var (labels, series) in _series.OrderBy(s => s.Key, StringComparer.Ordinal)) series.Write(text, name, labels);
        }

        /// <returns>How long it is; 0 when there is no room or nothing to write.</returns>
        private static int WriteRaw(ReadOnlySpan<KeyValuePair<string, object?>> tags, Span<char> into)
        {
            var length = 0;
            foreach (var (key, value) in tags)
            {
                if (!Labels.Contains(key)) continue;
                if (!into[length..].TryWrite(CultureInfo.InvariantCulture, $"{key}\u001f{value}\u001e", out var written)) return 0;
                length += written;
            }
            return length;
        }

        private static string LabelsOf(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var labels = new List<string>(tags.Length);
            foreach (var (key, value) in tags)
            {
                if (!Labels.Contains(key)) continue;
                var word = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
                labels.Add($"{key.Replace('.', '_')}=\"{word.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n")}\"");
            }
            labels.Sort(StringComparer.Ordinal);
            return string.Join(',', labels);
        }
    }

    /// <summary>A number, or with buckets how many there were up to each bound.</summary>
    private sealed class Series(bool hasBuckets)
    {
        private readonly Lock _lock = new();
        private readonly long[] _buckets = hasBuckets ? new long[Bounds.Length + 1] : [];
        private double _sum;

        public void Add(double value, bool replaces)
        {
            lock (_lock)
            {
                _sum = replaces ? value : _sum + value;
                if (!hasBuckets) return;
                var bucket = Array.FindIndex(Bounds, bound => value <= bound);
                _buckets[bucket < 0 ? Bounds.Length : bucket]++;
            }
        }

        public void Write(StringBuilder text, string name, string labels)
        {
            lock (_lock)
            {
                if (!hasBuckets)
                {
                    Sample(name, labels, _sum);
                    return;
                }
                long upTo = 0;
                for (var i = 0; i < _buckets.Length; i++)
                {
                    upTo += _buckets[i];
                    Sample(name + "_bucket", $"{labels}{(labels.Length == 0 ? "" : ",")}le=\"{Number(i < Bounds.Length ? Bounds[i] : double.PositiveInfinity)}\"", upTo);
                }
                Sample(name + "_sum", labels, _sum);
                Sample(name + "_count", labels, upTo);
            }

            void Sample(string sample, string with, double value) =>
                text.Append(sample).Append(with.Length == 0 ? "" : $"{{{with}}}").Append(' ').Append(Number(value)).Append('\n');
        }
    }
}
