using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace CampaignService.Templates;

/// <summary>Walks the content once and takes it apart into literals and slots. Used for one content, then thrown away.</summary>
internal sealed class TemplateCompiler(VariableSchema schema)
{
    private static readonly JsonDocumentOptions Reading = new() { MaxDepth = JsonText.MaxDepth };

    private readonly List<TemplateFault> _faults = [];
    private readonly List<UnknownToken> _unknown = [];
    private readonly List<TemplatePart> _parts = [];
    private readonly List<string> _place = [];
    private readonly ArrayBufferWriter<byte> _literal = new();
    private readonly bool[] _used = new bool[schema.Variables.Count];
    private readonly bool[] _usedWithoutFallback = new bool[schema.Variables.Count];

    public IReadOnlyList<TemplateFault> Faults => _faults;

    public CompiledTemplate? Compile(ReadOnlyMemory<byte> content)
    {
        if (content.Length > CompiledTemplate.MaxContentBytes)
            Refuse($"is {content.Length:N0} bytes long; at most {CompiledTemplate.MaxContentBytes:N0} are allowed");
        else if (!Utf8.IsValid(content.Span))
            Refuse("is not UTF-8");
        else
            CompileJson(content);
        if (_faults.Count > 0) return null;

        EndLiteral();
        var needsValue = schema.Variables.Select((v, i) => v.Required && (_usedWithoutFallback[i] || !_used[i])).ToArray();
        return new CompiledTemplate(schema, [.. _parts], needsValue, _unknown);
    }

    private void CompileJson(ReadOnlyMemory<byte> content)
    {
        try
        {
            using var document = JsonDocument.Parse(content, Reading);
            if (document.RootElement.ValueKind == JsonValueKind.Object) AddValue(document.RootElement);
            else Refuse("must be a JSON object");
        }
        catch (JsonException e)
        {
            Refuse($"is not valid JSON of at most {JsonText.MaxDepth} levels: {e.Message}");
        }
    }

    private void AddValue(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                AddObject(value);
                break;
            case JsonValueKind.Array:
                AddArray(value);
                break;
            case JsonValueKind.String:
                AddString(value);
                break;
            default:
                _literal.Write(JsonMarshal.GetRawUtf8Value(value));
                break;
        }
    }

    private void AddObject(JsonElement value)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        _literal.Write("{"u8);
        foreach (var member in value.EnumerateObject())
        {
            if (NameOf(member) is not { } name) continue;
            if (!names.Add(name)) Refuse($"has the member '{name}' twice");
            if (names.Count > 1) _literal.Write(","u8);
            AddQuoted(name);
            _literal.Write(":"u8);
            _place.Add(name);
            AddValue(member.Value);
            _place.RemoveAt(_place.Count - 1);
        }
        _literal.Write("}"u8);
    }

    private void AddArray(JsonElement value)
    {
        _literal.Write("["u8);
        var i = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (i > 0) _literal.Write(","u8);
            _place.Add(i++.ToString(CultureInfo.InvariantCulture));
            AddValue(item);
            _place.RemoveAt(_place.Count - 1);
        }
        _literal.Write("]"u8);
    }

    private string? NameOf(JsonProperty member)
    {
        try
        {
            var name = member.Name;
            if (JsonText.Unstorable(name) is not { } fault) return name;
            Refuse($"has a member whose name {fault.Message}");
        }
        catch (InvalidOperationException)
        {
            Refuse($"has a member whose name {JsonText.BrokenText}");
        }
        return null;
    }

    private void AddString(JsonElement value)
    {
        if (!JsonText.TryGetString(value, out var text))
        {
            Refuse(JsonText.BrokenText);
            return;
        }
        if (JsonText.Unstorable(text) is { } unstorable)
        {
            Refuse(unstorable.Message, unstorable.Position);
            return;
        }
        var tokens = new List<Token>();
        var malformed = new List<(int Position, string Message)>();
        TokenParser.Parse(text, tokens, malformed);
        foreach (var (position, message) in malformed) Refuse(message, position);
        if (tokens is [var only] && only.Length == text.Length && IsWholeObject(only)) AddSlot(only, SlotForm.WholeObject);
        else AddText(text, tokens);
    }

    private bool IsWholeObject(Token token) => token.Path.Count == 1 && schema.Find(token.Path[0]) is { Type: not VariableType.String };

    private void AddText(string text, List<Token> tokens)
    {
        _literal.Write("\""u8);
        var end = 0;
        foreach (var token in tokens)
        {
            JsonText.Escape(text.AsSpan(end, token.Position - end), _literal);
            end = token.Position + token.Length;
            if (schema.Find(token.Path[0]) is { } variable) AddToken(token, variable.Type);
            else AddUnknown(token, text[token.Position..end]);
        }
        JsonText.Escape(text.AsSpan(end), _literal);
        _literal.Write("\""u8);
    }

    private void AddToken(Token token, VariableType type) => AddSlot(token, (type, token.Path.Count) switch
    {
        (VariableType.String, _) => SlotForm.Text,
        (_, 1) => SlotForm.ObjectAsText,
        _ => SlotForm.MemberAsText,
    });

    private void AddSlot(Token token, SlotForm form)
    {
        var variable = schema.IndexOf(token.Path[0]);
        _used[variable] = true;
        _usedWithoutFallback[variable] |= token.Fallback is null;
        var path = token.Path.Skip(1).Select(Encoding.UTF8.GetBytes).ToArray();
        if (form == SlotForm.Text && path.Length > 0)
        {
            // There is nothing inside a text to walk into.
            JsonText.Escape(token.Fallback, _literal);
            return;
        }
        EndLiteral();
        _parts.Add(new Slot(variable, form, path, token.Fallback));
    }

    private void AddUnknown(Token token, string asItStands)
    {
        if (_unknown.Count < CompiledTemplate.MaxFaults) _unknown.Add(new UnknownToken(Pointer(), token.Position, asItStands));
        JsonText.Escape(asItStands, _literal);
    }

    private void AddQuoted(string text)
    {
        _literal.Write("\""u8);
        JsonText.Escape(text, _literal);
        _literal.Write("\""u8);
    }

    private void EndLiteral()
    {
        if (_literal.WrittenCount > 0) _parts.Add(new Literal(_literal.WrittenSpan.ToArray()));
        _literal.ResetWrittenCount();
    }

    private void Refuse(string message, int? position = null)
    {
        if (_faults.Count < CompiledTemplate.MaxFaults) _faults.Add(new TemplateFault(Pointer(), position, message));
    }

    private string Pointer() => string.Concat(_place.Select(name =>
        "/" + name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)));
}
