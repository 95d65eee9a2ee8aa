using System.Net;
using System.Net.Sockets;

namespace CampaignService.Common;

/// <summary>
/// Which addresses calls may go to that somebody else chose. Otherwise a caller of this API would reach what only this machine can:
/// its own ports, the network behind it, and the servers that hand out a cloud machine's credentials.
/// </summary>
public static class OutboundAddress
{
    /// <summary>The longest URL that is stored.</summary>
    public const int MaxUrl = 2_048;

    /// <summary>How long a name may take to be looked up while somebody waits for an answer.</summary>
    private static readonly TimeSpan LookUp = TimeSpan.FromSeconds(2);

    /// <summary>Not even when private networks are allowed: nobody's server, and in clouds the one that gives credentials away.</summary>
    private static readonly IPNetwork[] Never =
    [
        .. Parse("0.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        // Above: Azure's own services for a machine; relays of 6to4. Below: ::; IPv4-translated; NAT64 of somebody's own; Teredo, 6to4, which wrap any address; link-local; multicast; metadata.
        .. Parse("::/128", "::ffff:0:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fe80::/10", "ff00::/8", "fd00:ec2::/32"),
    ];

    /// <summary>Private, shared with a provider, loopback, for documentation and tests, unique local, site-local.</summary>
    private static readonly IPNetwork[] Private =
    [
        .. Parse("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        .. Parse("::1/128", "100::/64", "2001:db8::/32", "fc00::/7", "fec0::/10"),
    ];

    private static readonly IPNetwork Nat64 = IPNetwork.Parse("64:ff9b::/96"), Compatible = IPNetwork.Parse("::/96");

    /// <summary>Whether a call may go there.</summary>
    public static bool IsAllowed(IPAddress address, bool allowPrivate)
    {
        if (address.IsIPv4MappedToIPv6) return IsAllowed(address.MapToIPv4(), allowPrivate);
        // Networks without IPv4 reach all of it through these, so what stands inside decides.
        if (Nat64.Contains(address)) return IsAllowed(new IPAddress(address.GetAddressBytes().AsSpan(12)), allowPrivate);
        if (address.AddressFamily is not (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6) || Never.Any(n => n.Contains(address))) return false;
        var isPrivate = Private.Any(n => n.Contains(address));
        return isPrivate ? allowPrivate : !Compatible.Contains(address);
    }

    /// <summary>What is wrong with a URL as it stands there, without looking its name up; null when nothing is.</summary>
    public static string? FaultIn(string? url, bool allowPrivate)
    {
        if (string.IsNullOrEmpty(url)) return "must not be empty";
        if (url.Length > MaxUrl) return $"must have at most {MaxUrl:N0} characters";
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || (uri.Scheme != Uri.UriSchemeHttps && uri.Scheme != Uri.UriSchemeHttp) || uri.Host.Length == 0 || url.Any(char.IsWhiteSpace))
        {
            return "must be an absolute URL that begins with https:// or http://";
        }
        if (uri.UserInfo.Length > 0) return "must not hold a user name or password";
        var isLocalName = uri.IdnHost.TrimEnd('.') is var host && (host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase));
        if (isLocalName && !allowPrivate) return Refusal(uri.Host);
        return IPAddress.TryParse(uri.IdnHost.Trim('[', ']'), out var address) && !IsAllowed(address, allowPrivate) ? Refusal(uri.Host) : null;
    }

    /// <summary>
    /// What is wrong with where its name leads at this moment. A name that cannot be looked up is let pass: it may be made later than
    /// this, and every connection looks it up and checks again.
    /// </summary>
    /// <param name="url">One without fault as it stands there.</param>
    /// <param name="allowPrivate">Whether private networks are allowed.</param>
    /// <param name="ct">Gives up.</param>
    public static async Task<string?> FaultInNameAsync(string url, bool allowPrivate, CancellationToken ct)
    {
        var host = new Uri(url).IdnHost;
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, ct).WaitAsync(LookUp, ct);
            return addresses.Length > 0 && !addresses.Any(a => IsAllowed(a, allowPrivate)) ? Refusal(host) : null;
        }
        catch (Exception e) when (e is SocketException or TimeoutException or ArgumentException)
        {
            return null;
        }
    }

    public static string Refusal(string host) => $"'{host}' is private, loopback, link-local or otherwise no public address, and calls do not go there";

    private static IEnumerable<IPNetwork> Parse(params string[] networks) => networks.Select(n => IPNetwork.Parse(n));
}
