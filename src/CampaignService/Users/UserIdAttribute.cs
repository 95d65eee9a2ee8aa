using CampaignService.Common;
using Microsoft.AspNetCore.Http.Features;
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
            var id = (SegmentOf(bindingContext.HttpContext) ?? bindingContext.ActionContext.RouteData.Values[bindingContext.ModelName] as string ?? "").Trim();
            var fault = Text.UserIdFault(id) ?? (id.Contains('\0', StringComparison.Ordinal) ? "holds the character U+0000, which cannot be stored" : null);
            if (fault is null) bindingContext.Result = ModelBindingResult.Success(id);
            else bindingContext.ModelState.AddModelError(bindingContext.ModelName, fault);
            return Task.CompletedTask;
        }

        /// <summary>
        /// The id as the caller wrote it, decoded once. The server decodes all but %2F, which would be taken for a slash of the path: behind
        /// it the ids "a/b" and "a%2Fb" look alike, and one person would be erased for the other.
        /// </summary>
        private static string? SegmentOf(HttpContext http)
        {
            var path = http.Features.Get<IHttpRequestFeature>()?.RawTarget.Split('?')[0].Split('/') ?? [];
            // /api/users/{id}, /api/analytics/users/{id}
            var at = Array.FindIndex(path, 0, Math.Min(path.Length, 4), word => word.Equals("users", StringComparison.OrdinalIgnoreCase)) + 1;
            return at > 0 && at < path.Length ? Uri.UnescapeDataString(path[at]) : null;
        }
    }
}
