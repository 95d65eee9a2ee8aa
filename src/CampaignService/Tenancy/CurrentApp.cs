using System.Globalization;

namespace CampaignService.Tenancy;

/// <summary>The app on whose behalf this request runs. Every query of a request is limited to it.</summary>
public sealed class CurrentApp(IHttpContextAccessor http)
{
    public int No { get; } = int.Parse(http.HttpContext!.User.FindFirst(ApiKeyAuthentication.AppNoClaim)!.Value, CultureInfo.InvariantCulture);

    public string Id { get; } = http.HttpContext!.User.FindFirst(ApiKeyAuthentication.AppIdClaim)!.Value;
}
