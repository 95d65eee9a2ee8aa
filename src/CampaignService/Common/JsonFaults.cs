using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace CampaignService.Common;

/// <summary>
/// Finds every member of a JSON body that does not fit its contract. The serializer stops at the first; a caller wants them all at once.
/// </summary>
public static class JsonFaults
{
    /// <summary>As many faults are told of one body: who has more repeats one, and naming millions would cost the service its memory.</summary>
    public const int MaxFaults = 100;

    private const int MaxNameInPath = 100;

    /// <summary>Reads what can be read of <paramref name="body"/>; what cannot is left out of the object and named in <paramref name="faults"/>.</summary>
    public static object? Read(Type type, JsonElement body, JsonSerializerOptions options, List<string> faults) => Read(type, body, "", options, faults);

    /// <summary>PostgreSQL's text holds any character but U+0000, and half a surrogate pair is no character at all.</summary>
    public static void FindBadText(JsonElement element, string path, List<string> faults)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                if (!TryText(element, out var text)) faults.Add($"{Named(path)}: holds half of a surrogate pair; send whole characters");
                else if (text.Contains('\0', StringComparison.Ordinal)) faults.Add($"{Named(path)}: holds the character U+0000, which cannot be stored");
                break;
            case JsonValueKind.Array:
                var i = 0;
                foreach (var item in element.EnumerateArray())
                {
                    if (faults.Count >= MaxFaults) return;
                    FindBadText(item, $"{path}[{i++}]", faults);
                }
                break;
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    if (!TryName(member, out var name)) faults.Add($"{Named(path)}: has a member name with half of a surrogate pair; send whole characters");
                    else if (name.Contains('\0', StringComparison.Ordinal)) faults.Add($"{Named(path)}: has a member name with the character U+0000, which cannot be stored");
                    FindBadText(member.Value, Join(path, name), faults);
                }
                break;
        }
    }

    private static object? Read(Type type, JsonElement value, string path, JsonSerializerOptions options, List<string> faults)
    {
        var info = options.GetTypeInfo(type);
        if (info.Kind == JsonTypeInfoKind.Object && type.Assembly == typeof(JsonFaults).Assembly && info.CreateObject is not null)
        {
            return ReadObject(info, value, path, options, faults);
        }
        if (info.Kind == JsonTypeInfoKind.Enumerable && value.ValueKind == JsonValueKind.Array && info.ElementType is { } elementType)
        {
            var before = faults.Count;
            var i = 0;
            foreach (var item in value.EnumerateArray())
            {
                Read(elementType, item, $"{path}[{i++}]", options, faults);
                if (faults.Count >= MaxFaults) break;
            }
            if (faults.Count > before) return null;
        }
        try
        {
            return value.Deserialize(info);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            faults.Add($"{Named(path)}: {Expected(type, options)}");
            return null;
        }
    }

    private static object? ReadObject(JsonTypeInfo info, JsonElement value, string path, JsonSerializerOptions options, List<string> faults)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            faults.Add($"{Named(path)}: must be an object");
            return null;
        }
        var result = info.CreateObject!();
        foreach (var property in info.Properties)
        {
            var name = Join(path, property.Name);
            if (!TryMember(value, property.Name, out var member))
            {
                if (property.IsRequired) faults.Add($"{name}: is required");
                continue;
            }
            var type = Unwrap(property.PropertyType, out var isOptional);
            if (member.ValueKind == JsonValueKind.Null)
            {
                if (isOptional) property.Set?.Invoke(result, Activator.CreateInstance(property.PropertyType, [null]));
                else if (!property.IsSetNullable || (property.PropertyType.IsValueType && Nullable.GetUnderlyingType(property.PropertyType) is null))
                {
                    faults.Add($"{name}: must not be null");
                }
                continue;
            }
            var before = faults.Count;
            var read = Read(type, member, name, options, faults);
            // Of an object that has faults the rest is kept, so that those are found, too.
            if ((faults.Count == before || read is not null) && property.Set is { } set) set(result, isOptional ? Activator.CreateInstance(property.PropertyType, read) : read);
        }
        return result;
    }

    private static bool TryMember(JsonElement value, string name, out JsonElement member)
    {
        if (value.TryGetProperty(name, out member)) return true;
        foreach (var candidate in value.EnumerateObject())
        {
            if (!string.Equals(candidate.Name, name, StringComparison.OrdinalIgnoreCase)) continue;
            member = candidate.Value;
            return true;
        }
        return false;
    }

    private static Type Unwrap(Type type, out bool isOptional)
    {
        isOptional = type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Optional<>);
        return isOptional ? type.GetGenericArguments()[0] : type;
    }

    private static string Expected(Type declared, JsonSerializerOptions options)
    {
        var type = Nullable.GetUnderlyingType(declared) ?? declared;
        if (type.IsEnum) return "must be one of " + string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.SnakeCaseLower.ConvertName));
        if (type == typeof(string)) return "must be text";
        if (type == typeof(bool)) return "must be true or false";
        if (type == typeof(double)) return "must be a number";
        if (type == typeof(DateTimeOffset)) return TimeConverter.Expected;
        if (type.IsPrimitive) return "must be a whole number";
        return options.GetTypeInfo(type).Kind == JsonTypeInfoKind.Enumerable ? "must be an array" : "must be an object";
    }

    private static bool TryText(JsonElement element, out string text)
    {
        try
        {
            text = element.GetString()!;
            return true;
        }
        catch (InvalidOperationException)
        {
            text = "";
            return false;
        }
    }

    private static bool TryName(JsonProperty member, out string name)
    {
        try
        {
            name = member.Name;
            return true;
        }
        catch (InvalidOperationException)
        {
            name = "?";
            return false;
        }
    }

    private static string Join(string path, string name)
    {
        if (name.Length > MaxNameInPath) name = name[..MaxNameInPath] + "…";
        return path.Length == 0 ? name : $"{path}.{name}";
    }

    private static string Named(string path) => path.Length == 0 ? "body" : path;
}
