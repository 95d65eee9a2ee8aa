using System.Text.Json;
using Microsoft.AspNetCore.Mvc.ModelBinding;

namespace CampaignService.Common;

/// <summary>Takes the members of an enum in a query by the names that they have in JSON, such as <c>in_app</c>, and by no others.</summary>
public sealed class WireEnumBinderProvider : IModelBinderProvider
{
    public IModelBinder? GetBinder(ModelBinderProviderContext context) =>
        context.Metadata.UnderlyingOrModelType is { IsEnum: true } type ? new WireEnumBinder(type) : null;
}

public sealed class WireEnumBinder(Type type) : IModelBinder
{
    private readonly Dictionary<string, object> _members =
        Enum.GetNames(type).ToDictionary(JsonNamingPolicy.SnakeCaseLower.ConvertName, name => Enum.Parse(type, name), StringComparer.OrdinalIgnoreCase);

    public Task BindModelAsync(ModelBindingContext bindingContext)
    {
        var given = bindingContext.ValueProvider.GetValue(bindingContext.ModelName).FirstValue;
        if (string.IsNullOrEmpty(given)) return Task.CompletedTask;
        if (_members.TryGetValue(given, out var member)) bindingContext.Result = ModelBindingResult.Success(member);
        else bindingContext.ModelState.TryAddModelError(bindingContext.ModelName, $"must be one of {string.Join(", ", _members.Keys)}");
        return Task.CompletedTask;
    }
}
