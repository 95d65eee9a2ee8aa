using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace CampaignService.Templates;

/// <summary>
/// Checks the values of variables and turns them into the form they are held in: text. A <c>string</c> is held as it is, an
/// <c>image</c> or <c>action</c> as compact JSON; null is "not given". Faults say what is wrong and what to send; the caller puts the
/// field's name before.
/// </summary>
public static class VariableValue
{
    /// <summary>Longest value, in bytes of its held text in UTF-8.</summary>
    public const int MaxBytes = 64 * 1024;

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = JsonText.MaxDepth, AllowDuplicateProperties = false };

    /// <summary>Takes a value out of JSON. JSON null is "not given".</summary>
    /// <returns>False when the value does not fit the variable; <paramref name="fault"/> says why.</returns>
    public static bool FromJson(JsonElement given, Variable variable, out string? text, [NotNullWhen(false)] out string? fault)
    {
        text = null;
        fault = null;
        if (given.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined) return true;
        return variable.Type == VariableType.String
            ? TextFrom(given, out text, out fault)
            : CompactObject(JsonMarshal.GetRawUtf8Value(given).ToArray(), variable.Type, out text, out fault);
    }

    /// <summary>Takes a value out of text, such as a CSV cell: for an <c>image</c> or <c>action</c> it must hold the JSON object.</summary>
    /// <returns>False when the value does not fit the variable; <paramref name="fault"/> says why.</returns>
    public static bool FromText(string given, Variable variable, out string? text, [NotNullWhen(false)] out string? fault)
    {
        text = null;
        fault = TextFault(given);
        if (fault is not null) return false;
        if (variable.Type != VariableType.String) return CompactObject(Encoding.UTF8.GetBytes(given), variable.Type, out text, out fault);
        text = given;
        return true;
    }

    /// <summary>What is wrong with this held text or CSV cell, or null.</summary>
    internal static string? FaultIn(string text, VariableType type) =>
        TextFault(text) ?? (type == VariableType.String ? null : ObjectFault(Encoding.UTF8.GetBytes(text), type));

    private static bool TextFrom(JsonElement given, out string? text, out string? fault)
    {
        text = null;
        if (given.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
            fault = $"is an {Noun(given)}, but the variable is of type string; send text, a number or a boolean";
        else if (given.ValueKind != JsonValueKind.String)
            fault = TextFault(text = given.GetRawText());
        else
            fault = JsonText.TryGetString(given, out text) ? TextFault(text) : JsonText.BrokenText;
        if (fault is not null) text = null;
        return fault is null;
    }

    private static bool CompactObject(byte[] json, VariableType type, out string? text, out string? fault)
    {
        text = null;
        fault = ObjectFault(json, type);
        if (fault is not null) return false;
        var length = JsonText.Compact(json);
        fault = SizeFault(length);
        if (fault is null) text = Encoding.UTF8.GetString(json, 0, length);
        return fault is null;
    }

    private static string? TextFault(string text) => JsonText.Unstorable(text)?.Message ?? SizeFault(Encoding.UTF8.GetByteCount(text));

    private static string? SizeFault(int bytes) => bytes > MaxBytes ? $"is {bytes:N0} bytes long; at most {MaxBytes:N0} are allowed" : null;

    private static string? ObjectFault(byte[] json, VariableType type)
    {
        if (!Utf8.IsValid(json)) return "is not UTF-8";
        try
        {
            if (JsonText.FaultInStrings(json) is { } broken) return broken;
            using var document = JsonDocument.Parse(json, Strict);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object) return $"is not an object; {Send(type)}";
            var wrong = type == VariableType.Image ? WrongInImage(root) : WrongInAction(root);
            return wrong is null ? null : $"{wrong}; {Send(type)}";
        }
        catch (JsonException)
        {
            return $"is not valid JSON, is nested deeper than {JsonText.MaxDepth} or names a member twice; {Send(type)}";
        }
    }

    private static string? WrongInImage(JsonElement image)
    {
        if (!image.TryGetProperty("url", out var url) || url.ValueKind != JsonValueKind.String || url.GetString()!.Length == 0)
            return "has no url";
        if (!IsNumber(image, "width")) return "has no width that is a number";
        return IsNumber(image, "height") ? null : "has no height that is a number";
    }

    private static string? WrongInAction(JsonElement action)
    {
        if (!action.TryGetProperty("type", out var type) || !(Is(type, "web") || Is(type, "custom")))
            return "has no type that is \"web\" or \"custom\"";
        return action.TryGetProperty("data", out _) ? null : "has no data";
    }

    private static bool IsNumber(JsonElement of, string member) =>
        of.TryGetProperty(member, out var number) && number.ValueKind == JsonValueKind.Number;

    private static bool Is(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);

    private static string Noun(JsonElement value) => value.ValueKind == JsonValueKind.Object ? "object" : "array";

    private static string Send(VariableType type) => type == VariableType.Image
        ? """send an image: {"url": "https://…", "width": 640, "height": 480}"""
        : """send an action: {"type": "web" or "custom", "data": …}""";
}
