using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CampaignService.Templates;

namespace CampaignService.UnitTests.Templates;

/// <summary>Short ways to say what a template test needs.</summary>
internal static class TemplateTestKit
{
    public const string Photo = """{"url":"https://x/1.png","width":640,"height":480}""";

    public static readonly IReadOnlyDictionary<string, string> NoValues = new Dictionary<string, string>();

    public static JsonElement Json(string json) => JsonSerializer.Deserialize<JsonElement>(json);

    public static Variable Text(string key, bool required = false, string? defaultJson = null) => Of(key, VariableType.String, required, defaultJson);

    public static Variable Image(string key, bool required = false, string? defaultJson = null) => Of(key, VariableType.Image, required, defaultJson);

    public static Variable Action(string key, bool required = false, string? defaultJson = null) => Of(key, VariableType.Action, required, defaultJson);

    public static VariableSchema Schema(params Variable[] variables) => new(variables);

    /// <summary>Content whose one member <c>t</c> is this text.</summary>
    public static string Content(string text) => new JsonObject { ["t"] = text }.ToJsonString();

    public static IReadOnlyList<TemplateFault> Faults(string content, params Variable[] variables)
    {
        CompiledTemplate.TryCompile(content, Schema(variables), out _, out var faults);
        return faults;
    }

    public static string Render(this BoundTemplate template, params string?[] values)
    {
        var output = new ArrayBufferWriter<byte>();
        template.Render(output, values);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>Renders content in which every recipient gives the variables by their order in the schema.</summary>
    public static string Render(string content, VariableSchema schema, params string?[] values) =>
        CompiledTemplate.Compile(content, schema).Bind([.. schema.Variables.Select(v => v.Key)], NoValues).Render(values);

    /// <summary>The one text of content made by <see cref="Content"/>, rendered.</summary>
    public static string? RenderText(string text, VariableSchema schema, params string?[] values) =>
        Json(Render(Content(text), schema, values)).GetProperty("t").GetString();

    private static Variable Of(string key, VariableType type, bool required, string? defaultJson) =>
        new(key, type, null, required, defaultJson is null ? null : Json(defaultJson));
}
