using System.Security.Claims;
using System.Text.Encodings.Web;
using CampaignService.Common;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace CampaignService.Tenancy;

/// <summary>Lets whoever runs the service make apps and keys, by the header <c>operatorKey</c>; closed while <c>Operator__Key</c> is unset.</summary>
public sealed class OperatorAuthentication(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, IConfiguration configuration)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "Operator";

    private string? Key => configuration["Operator:Key"];

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        string? given = Request.Headers["operatorKey"];
        if (string.IsNullOrEmpty(Key) || string.IsNullOrEmpty(given)) return Task.FromResult(AuthenticateResult.NoResult());
        return Task.FromResult(Secret.Equal(given, Key)
            ? AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(new ClaimsIdentity(SchemeName)), SchemeName))
            : AuthenticateResult.Fail("wrong"));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties) => Problem.WriteAsync(Context, Errors.Unauthorized(
        string.IsNullOrEmpty(Key)
            ? "Apps and keys are closed. Set Operator__Key on the service to open them."
            : "Send the operator's key in the header operatorKey."));
}
