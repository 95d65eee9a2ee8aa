using CampaignService.Common;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Users;

/// <summary>A user id in a path: as everywhere, white space around it is no part of it, and a fault in it is named beside those of the body.</summary>
[AttributeUsage(AttributeTargets.Parameter)]
public sealed class UserIdAttribute : ModelBinderAttribute
{
    public UserIdAttribute()
        : base(typeof(Binder)) => BindingSource = BindingSource.Path;

    private sealed class Binder : IModelBinder
    {
        public Task BindModelAsync(ModelBindingContext bindingContext)
        {
            // The server leaves %2F as it is, for a slash there would be taken for one of the path.
            var id = (bindingContext.ActionContext.RouteData.Values[bindingContext.ModelName] as string ?? "").Replace("%2F", "/", StringComparison.OrdinalIgnoreCase).Trim();
            var fault = Text.UserIdFault(id) ?? (id.Contains('\0', StringComparison.Ordinal) ? "holds the character U+0000, which cannot be stored" : null);
            if (fault is null) bindingContext.Result = ModelBindingResult.Success(id);
            else bindingContext.ModelState.AddModelError(bindingContext.ModelName, fault);
            return Task.CompletedTask;
        }
    }
}
