using System.Buffers.Text;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace CampaignService.Benchmarks;

/// <summary>
/// Direct sends over many connections, on each one after the other, from one thread and with next to no cost of its own: whoever asks shares the cores
/// with who answers, and pgbench, which this is compared with, waits for all its connections in one place too. A request is made once, and only the
/// user's number changes in it.
/// </summary>
internal sealed class DirectSends : IDisposable
{
    private readonly Dictionary<Socket, Connection> _connections = [];

    public DirectSends(Uri address, string templateId, int connections)
    {
        for (var i = 0; i < connections; i++)
        {
            var connection = new Connection(address, templateId, $"user-{i}-");
            _connections.Add(connection.Socket, connection);
        }
    }

    /// <returns>How many were answered, each with a 200: those that were sent within the time.</returns>
    public int Run(TimeSpan time, CancellationToken ct)
    {
        var (sent, clock) = (0, Stopwatch.StartNew());
        foreach (var connection in _connections.Values) connection.Send();
        var ready = new List<Socket>();
        for (var waiting = _connections.Count; waiting > 0;)
        {
            ct.ThrowIfCancellationRequested();
            ready.Clear();
            ready.AddRange(_connections.Values.Where(c => c.IsWaiting).Select(c => c.Socket));
            Socket.Select(ready, null, null, microSeconds: 1_000_000);
            foreach (var connection in ready.Select(s => _connections[s]))
            {
                if (!connection.Receive()) continue;
                sent++;
                if (clock.Elapsed < time) connection.Send();
                else waiting--;
            }
        }
        return sent;
    }

    public void Dispose()
    {
        foreach (var socket in _connections.Keys) socket.Dispose();
    }

    private sealed class Connection
    {
        private const string Number = "0000000";

        private readonly byte[] _request, _answer = new byte[4096];
        private readonly int[] _places;
        private int _sent, _held;

        public Connection(Uri address, string templateId, string userPrefix)
        {
            var user = userPrefix + Number;
            var body = $$"""{"templateId":"{{templateId}}","receivers":["{{user}}"],"variables":{"{{user}}":{"name":"Ann","city":"Rome","code":"4711"} } }""";
            var text = $"POST /api/notifications/messages HTTP/1.1\r\nHost: {address.Authority}\r\nappId: {ServiceProcess.AppId}\r\napiKey: {ServiceProcess.ApiKey}\r\n"
                + $"Content-Type: application/json\r\nContent-Length: {Encoding.ASCII.GetByteCount(body)}\r\n\r\n{body}";
            _request = Encoding.ASCII.GetBytes(text);
            _places = [text.IndexOf(user, StringComparison.Ordinal) + userPrefix.Length, text.LastIndexOf(user, StringComparison.Ordinal) + userPrefix.Length];
            Socket.Connect(new IPEndPoint(IPAddress.Loopback, address.Port));
        }

        public Socket Socket { get; } = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

        public bool IsWaiting { get; private set; }

        public void Send()
        {
            foreach (var place in _places) Utf8Formatter.TryFormat(_sent, _request.AsSpan(place, Number.Length), out _, new('D', (byte)Number.Length));
            (_held, IsWaiting) = (0, true);
            _sent++;
            Socket.Send(_request);
        }

        /// <summary>Takes what has come.</summary>
        /// <returns>Whether the answer is whole.</returns>
        public bool Receive()
        {
            var read = Socket.Receive(_answer, _held, _answer.Length - _held, SocketFlags.None);
            _held += read;
            var answer = _answer.AsSpan(0, _held);
            var head = answer.IndexOf("\r\n\r\n"u8);
            if (read == 0 || (head >= 0 && !answer.StartsWith("HTTP/1.1 200"u8))) throw new BenchException($"A direct send was answered: {Encoding.UTF8.GetString(answer)}");
            IsWaiting = head < 0 || _held < head + 4 + LengthIn(answer[..head]);
            return !IsWaiting;
        }

        private static int LengthIn(ReadOnlySpan<byte> head)
        {
            var at = head.IndexOf("Content-Length: "u8);
            return at >= 0 && Utf8Parser.TryParse(head[(at + 16)..], out int length, out _) ? length : throw new BenchException("An answer without its length.");
        }
    }
}
