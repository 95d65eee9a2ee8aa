using System.Net;
using System.Net.Sockets;

namespace CampaignService.Common;

/// <summary>Looks the addresses of a name up.</summary>
public delegate Task<IPAddress[]> NameLookUp(string host, CancellationToken ct);

/// <summary>
/// Calls to servers that somebody else named. The address is checked where it is connected to, and that very address is used: a name
/// that leads elsewhere a moment after it was checked leads nowhere. Redirects are answers, not followed; no proxy, no cookies, no tracing
/// headers. There is no time limit in it: the caller's token is the one.
/// </summary>
public static class OutboundHttp
{
    /// <summary>For as long as this a connection is used; then its name is looked up anew.</summary>
    private static readonly TimeSpan ConnectionLife = TimeSpan.FromMinutes(2), IdleLife = TimeSpan.FromSeconds(55);

    /// <param name="allowPrivate">Lets private and loopback addresses through; link-local ones never.</param>
    /// <param name="maxConnectionsPerServer">To one scheme, host and port; who comes beyond that waits for one.</param>
    /// <param name="connectTimeout">For looking up, connecting and TLS together.</param>
    /// <param name="lookUp">The system's when left out.</param>
    /// <returns>Safe for many callers at once. It answers when the headers are there: the caller reads the body, or not, and disposes of the answer.</returns>
    public static HttpMessageInvoker Create(bool allowPrivate, int maxConnectionsPerServer, TimeSpan connectTimeout, NameLookUp? lookUp = null) => new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        UseProxy = false,
        UseCookies = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        MaxConnectionsPerServer = maxConnectionsPerServer,
        PooledConnectionLifetime = ConnectionLife,
        PooledConnectionIdleTimeout = IdleLife,
        ConnectTimeout = connectTimeout,
        MaxResponseHeadersLength = 16,
        // What is left of a body that was not read to its end: more than this, and the connection is closed instead.
        MaxResponseDrainSize = 16 * 1024,
        ResponseDrainTimeout = TimeSpan.FromSeconds(1),
        ConnectCallback = (context, ct) => ConnectAsync(context.DnsEndPoint, allowPrivate, lookUp ?? Dns.GetHostAddressesAsync, ct),
    });

    /// <summary>The beginning of a body; what comes behind it is never read.</summary>
    public static async Task<byte[]> ReadAsync(HttpContent content, int atMost, CancellationToken ct)
    {
        var buffer = new byte[atMost];
        await using var stream = await content.ReadAsStreamAsync(ct);
        var read = await stream.ReadAtLeastAsync(buffer, atMost, throwOnEndOfStream: false, ct);
        return buffer[..read];
    }

    /// <summary>Why a call failed. The innermost says most: that no such name is known, or that a certificate is not valid. It may quote bytes of the server, so it is made storable.</summary>
    public static string WordsOf(Exception e, int most) => Text.Storable(e.GetBaseException().Message, most);

    /// <summary>How long a server asks to be left alone; null when it asks for nothing, and less than nothing for a date that has passed.</summary>
    public static TimeSpan? RetryAfterOf(HttpResponseMessage response, DateTimeOffset now) =>
        response.Headers.RetryAfter is not { } asked ? null : asked.Delta ?? (asked.Date is { } date ? date - now : null);

    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint server, bool allowPrivate, NameLookUp lookUp, CancellationToken ct)
    {
        var found = await lookUp(server.Host, ct);
        var allowed = found.Where(a => OutboundAddress.IsAllowed(a, allowPrivate)).ToArray();
        if (allowed.Length == 0 && found.Length > 0) throw new AddressRefusedException(server.Host);
        for (var i = 0; i < allowed.Length; i++)
        {
            var socket = new Socket(allowed[i].AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(new IPEndPoint(allowed[i], server.Port), ct);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (Exception e)
            {
                socket.Dispose();
                if (e is not SocketException || i == allowed.Length - 1) throw;
            }
        }
        throw new SocketException((int)SocketError.HostNotFound);
    }
}

/// <summary>The name leads only to addresses to which calls do not go. It stands inside an <see cref="HttpRequestException"/>.</summary>
public sealed class AddressRefusedException(string host) : IOException(OutboundAddress.Refusal(host));
