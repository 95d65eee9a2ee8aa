using CampaignService.Common;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Feed;

/// <summary>
/// The user on whose behalf the request is made, from the header <c>onBehalfOf</c>. A fault in it is named beside those of the query.
/// Whoever holds the key may speak for any user of the app; that user need not be known.
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
            string? given = bindingContext.HttpContext.Request.Headers[Header];
            if (Text.TrimToNull(given) is not { } userId) bindingContext.ModelState.AddModelError(Header, "is missing; send the id of the user whose feed this is about");
            else if (Text.UserIdFault(userId) is { } fault) bindingContext.ModelState.AddModelError(Header, fault);
            else bindingContext.Result = ModelBindingResult.Success(userId);
            return Task.CompletedTask;
        }
    }
}
