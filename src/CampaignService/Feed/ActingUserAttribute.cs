using System.Globalization;
using CampaignService.Common;
using CampaignService.Tenancy;
using CampaignService.Users;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Feed;

/// <summary>
/// The user on whose behalf the request is made: whom the caller's token stands for, else from the header <c>onBehalfOf</c>. A fault in it
/// is named beside those of the query. Whoever holds the key may speak for any user of the app; that user need not be known.
/// </summary>
[AttributeUsage(AttributeTargets.Parameter)]
public sealed class ActingUserAttribute : ModelBinderAttribute
{
    public const string Header = "onBehalfOf";

    public ActingUserAttribute()
        : base(typeof(Binder))
    {
        Name = Header;
        BindingSource = BindingSource.Header;
    }

    private sealed class Binder : IModelBinder
    {
        public Task BindModelAsync(ModelBindingContext bindingContext)
        {
            var http = bindingContext.HttpContext;
            var (given, holder) = (Text.TrimToNull(http.Request.Headers[Header]), http.User.FindFirst(ApiKeyAuthentication.UserClaim)?.Value);
            if (holder is not null && given is not null && given != holder) throw new ApiException(Errors.Forbidden("This token is another user's. Leave onBehalfOf out: the token says whose feed this is about."));
            if ((holder ?? given) is not { } userId) bindingContext.ModelState.AddModelError(Header, "is missing; send the id of the user whose feed this is about");
            else if (Text.UserIdFault(userId) is { } fault) bindingContext.ModelState.AddModelError(Header, fault);
            else Accept(bindingContext, userId);
            return Task.CompletedTask;
        }

        private static void Accept(ModelBindingContext bindingContext, string userId)
        {
            bindingContext.Result = ModelBindingResult.Success(userId);
            var http = bindingContext.HttpContext;
            http.RequestServices.GetRequiredService<UserPresence>().Seen(int.Parse(http.User.FindFirst(ApiKeyAuthentication.AppNoClaim)!.Value, CultureInfo.InvariantCulture), userId);
        }
    }
}
