using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using CampaignService.Common;

namespace CampaignService.Templates;

/// <summary>What a variable's value is. On the wire: <c>string</c>, <c>image</c>, <c>action</c>.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<VariableType>))]
public enum VariableType
{
    /// <summary>Text; JSON numbers and booleans are taken as their JSON text.</summary>
    [JsonStringEnumMemberName("string")]
    [SuppressMessage("Naming", "CA1720", Justification = "The contract calls this type string.")]
    String,

    /// <summary>An object <c>{url, width, height}</c>.</summary>
    [JsonStringEnumMemberName("image")]
    Image,

    /// <summary>An object <c>{type: "web"|"custom", data}</c>.</summary>
    [JsonStringEnumMemberName("action")]
    Action,
}

/// <summary>One variable that a template can use.</summary>
/// <param name="Key">What stands in the braces: a letter or <c>_</c>, then letters, digits, <c>_</c>, <c>-</c>; up to 100.</param>
/// <param name="Type">What its values are.</param>
/// <param name="Name">A name for people, up to 200 characters.</param>
/// <param name="Required">A recipient for whom nothing gives this variable a value is skipped, never sent half-empty.</param>
/// <param name="DefaultValue">The value used when neither the recipient nor the campaign gives one; it must fit the type.</param>
public sealed record Variable(
    string Key,
    VariableType Type = VariableType.String,
    string? Name = null,
    bool Required = false,
    [property: JsonConverter(typeof(VerbatimJsonConverter))] JsonElement? DefaultValue = null);

/// <summary>The variables of one template version, in the order of its author. Immutable.</summary>
public sealed class VariableSchema
{
    public const int MaxKeyLength = 100;
    public const int MaxNameLength = 200;

    public static readonly VariableSchema Empty = new([]);

    private readonly Dictionary<string, int> _positions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _positionsIgnoringCase = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Takes any list, also a faulty one, so that <see cref="Check"/> can name all its faults.</summary>
    public VariableSchema(IReadOnlyList<Variable> variables)
    {
        Variables = [.. variables];
        for (var i = 0; i < Variables.Count; i++)
        {
            if (Variables[i]?.Key is not { } key) continue;
            _positions.TryAdd(key, i);
            _positionsIgnoringCase.TryAdd(key, i);
        }
    }

    public IReadOnlyList<Variable> Variables { get; }

    /// <summary>Position of the variable with exactly this key, or -1.</summary>
    public int IndexOf(string key) => _positions.GetValueOrDefault(key, -1);

    /// <summary>The variable with exactly this key, or null.</summary>
    public Variable? Find(string key) => _positions.TryGetValue(key, out var i) ? Variables[i] : null;

    /// <summary>The variable with this key in any case (CSV headers are compared so), or null.</summary>
    public Variable? FindIgnoreCase(string key) => _positionsIgnoringCase.TryGetValue(key, out var i) ? Variables[i] : null;

    /// <summary>Every fault, one line each: <c>"variableSchema[2].key: what is wrong"</c>. None: the schema can be stored.</summary>
    /// <param name="path">The name of the list in the request.</param>
    public IEnumerable<string> Check(string path)
    {
        for (var i = 0; i < Variables.Count; i++)
        {
            var at = $"{path}[{i}]";
            if (Variables[i] is not { } variable)
            {
                yield return $"{at}: must be an object with a key";
                continue;
            }
            if (KeyFault(variable.Key, i) is { } keyFault) yield return $"{at}.key: {keyFault}";
            if (NameFault(variable.Name) is { } nameFault) yield return $"{at}.name: {nameFault}";
            if (!Enum.IsDefined(variable.Type)) yield return $"{at}.type: must be string, image or action";
            else if (variable.DefaultValue is { } value && !VariableValue.FromJson(value, variable, out _, out var fault))
                yield return $"{at}.defaultValue: {fault}";
        }
    }

    internal static bool IsKeyStart(char c) => char.IsAsciiLetter(c) || c == '_';

    internal static bool IsKeyPart(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '-';

    private string? KeyFault(string? key, int position)
    {
        if (string.IsNullOrEmpty(key)) return "is missing";
        if (key.Length > MaxKeyLength) return $"is {key.Length} characters long; at most {MaxKeyLength} are allowed";
        if (!IsKeyStart(key[0]) || !key.All(IsKeyPart))
            return "must begin with a letter or '_' and go on with letters, digits, '_' or '-' (a to z, without accents)";
        // CSV headers are compared without case: 'Name' and 'name' could not be told apart there.
        var first = _positionsIgnoringCase[key];
        return first == position ? null : $"'{key}' is the same as the key of entry {first}; keys must differ in more than case";
    }

    private static string? NameFault(string? name)
    {
        if (name is null) return null;
        if (JsonText.Unstorable(name) is { } fault) return fault.Message;
        var length = name.EnumerateRunes().Count();
        return length > MaxNameLength ? $"is {length} characters long; at most {MaxNameLength} are allowed" : null;
    }
}
