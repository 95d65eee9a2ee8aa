using System.Globalization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Common;

/// <summary>
/// A time in a query string, in the forms that JSON bodies take. The framework would also take times without an offset, and read them
/// in the zone of this machine.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class QueryTimeAttribute : ModelBinderAttribute
{
    public QueryTimeAttribute()
        : base(typeof(Binder)) => BindingSource = BindingSource.Query;

    private sealed class Binder : IModelBinder
    {
        public Task BindModelAsync(ModelBindingContext bindingContext)
        {
            var given = bindingContext.ValueProvider.GetValue(bindingContext.ModelName).FirstValue;
            if (string.IsNullOrEmpty(given)) return Task.CompletedTask;
            if (Read(given) is { } time) bindingContext.Result = ModelBindingResult.Success(time);
            else bindingContext.ModelState.AddModelError(bindingContext.ModelName, TimeConverter.Expected);
            return Task.CompletedTask;
        }

        private static DateTimeOffset? Read(string given) =>
            TimeConverter.TryParse(given, out var time) ? time.ToUniversalTime()
            : double.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) ? TimeConverter.FromUnix(seconds)
            : null;
    }
}
