using System.Text;
using System.Text.Json;
using CampaignService.Common;

namespace CampaignService.Templates;

/// <summary>Values of several variables, between the JSON that callers send and the text they are held in.</summary>
public static class VariableValues
{
    /// <summary>Adds the values to <paramref name="held"/>; those that do not fit the schema are named in <paramref name="faults"/>.</summary>
    public static void Read(
        VariableSchema schema, IReadOnlyDictionary<string, JsonElement> given, string path, IDictionary<string, string> held, ICollection<string> faults)
    {
        foreach (var (key, value) in given)
        {
            if (faults.Count >= JsonFaults.MaxFaults) return;
            if (schema.Find(key) is not { } variable)
            {
                faults.Add($"{path}.{key}: is not a variable of the template; it has {(schema.Variables.Count == 0 ? "none" : string.Join(", ", schema.Variables.Select(v => v.Key)))}");
            }
            else if (!VariableValue.FromJson(value, variable, out var text, out var fault)) faults.Add($"{path}.{key}: {fault}");
            else if (text is not null) held[key] = text;
        }
    }

    /// <summary>One held value as JSON: text as a string, an image or action as its object.</summary>
    public static RawJson ToJson(string held, VariableType type)
    {
        if (type != VariableType.String && VariableValue.FaultIn(held, type) is null) return new RawJson(Encoding.UTF8.GetBytes(held));
        return new RawJson(JsonSerializer.SerializeToUtf8Bytes(held, Json.Options));
    }

    public static Dictionary<string, RawJson> ToJson(VariableSchema schema, IEnumerable<KeyValuePair<string, string>> held) =>
        held.ToDictionary(v => v.Key, v => ToJson(v.Value, schema.Find(v.Key)?.Type ?? VariableType.String));
}
