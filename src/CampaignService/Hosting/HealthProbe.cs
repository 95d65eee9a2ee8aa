using System.Net;

namespace CampaignService.Hosting;

/// <summary><c>CampaignService --health</c> asks the service in the same container whether it lives: its image has no other program for it.</summary>
public static class HealthProbe
{
    /// <summary>The exit code: 0 when <c>/health/live</c> answers 200 within 3 s.</summary>
    public static async Task<int> RunAsync()
    {
        using var client = new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false });
        using var request = new HttpRequestMessage(HttpMethod.Get, LiveAddress(Environment.GetEnvironmentVariable("ASPNETCORE_URLS")));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(3));
        try
        {
            using HttpResponseMessage answer = await client.SendAsync(request, patience.Token);
            return answer.StatusCode == HttpStatusCode.OK ? 0 : 1;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            return 1;
        }
    }

    /// <summary>The first plain address that the service listens on, seen from inside: a wildcard is loopback.</summary>
    internal static Uri LiveAddress(string? urls)
    {
        string first = (urls ?? "").Split(';').FirstOrDefault(u => u.StartsWith("http://", StringComparison.OrdinalIgnoreCase)) ?? Platform.DefaultAddress;
        BindingAddress bound = BindingAddress.Parse(first);
        string host = bound.Host is "+" or "*" or "0.0.0.0" or "[::]" ? "127.0.0.1" : bound.Host;
        return new Uri($"http://{host}:{bound.Port}{bound.PathBase}/health/live");
    }
}
