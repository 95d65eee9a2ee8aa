using System.Buffers.Text;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace CampaignService.Benchmarks;

/// <summary>
/// Direct sends over one connection, one after the other, with next to no cost of its own: whoever asks shares the cores with who answers,
/// and pgbench, which this is compared with, costs little too. The request is made once, and only the user's number changes in it.
/// </summary>
internal sealed class DirectSends : IDisposable
{
    private const string Number = "0000000";

    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly byte[] _request, _answer = new byte[4096];
    private readonly int[] _places;

    public DirectSends(Uri address, string templateId, string userPrefix)
    {
        var user = userPrefix + Number;
        var body = $$"""{"templateId":"{{templateId}}","receivers":["{{user}}"],"variables":{"{{user}}":{"name":"Ann","city":"Rome","code":"4711"} } }""";
        var text = $"POST /api/notifications/messages HTTP/1.1\r\nHost: {address.Authority}\r\nappId: {ServiceProcess.AppId}\r\napiKey: {ServiceProcess.ApiKey}\r\n"
            + $"Content-Type: application/json\r\nContent-Length: {Encoding.ASCII.GetByteCount(body)}\r\n\r\n{body}";
        _request = Encoding.ASCII.GetBytes(text);
        _places = [text.IndexOf(user, StringComparison.Ordinal) + userPrefix.Length, text.LastIndexOf(user, StringComparison.Ordinal) + userPrefix.Length];
        _socket.Connect(new IPEndPoint(IPAddress.Loopback, address.Port));
    }

    /// <returns>How many were answered, each with a 200, within the time.</returns>
    public int Run(TimeSpan time, CancellationToken ct)
    {
        var (sent, clock) = (0, Stopwatch.StartNew());
        for (; clock.Elapsed < time; sent++)
        {
            ct.ThrowIfCancellationRequested();
            foreach (var place in _places) Utf8Formatter.TryFormat(sent, _request.AsSpan(place, Number.Length), out _, new('D', (byte)Number.Length));
            _socket.Send(_request);
            ReadAnswer();
        }
        return sent;
    }

    public void Dispose() => _socket.Dispose();

    private void ReadAnswer()
    {
        for (int held = 0, whole = int.MaxValue; held < whole;)
        {
            var read = _socket.Receive(_answer, held, _answer.Length - held, SocketFlags.None);
            held += read;
            var answer = _answer.AsSpan(0, held);
            var head = answer.IndexOf("\r\n\r\n"u8);
            if (head >= 0) whole = head + 4 + LengthIn(answer[..head]);
            if (read == 0 || (head >= 0 && !answer.StartsWith("HTTP/1.1 200"u8))) throw new BenchException($"A direct send was answered: {Encoding.UTF8.GetString(answer)}");
        }
    }

    private static int LengthIn(ReadOnlySpan<byte> head)
    {
        var at = head.IndexOf("Content-Length: "u8);
        return at >= 0 && Utf8Parser.TryParse(head[(at + 16)..], out int length, out _) ? length : throw new BenchException("An answer without its length.");
    }
}
