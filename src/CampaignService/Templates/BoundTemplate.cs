using System.Buffers;

namespace CampaignService.Templates;

/// <summary>A variable and where recipients' values hold it.</summary>
/// <param name="Position">Position in a recipient's values; -1: no recipient has it.</param>
/// <param name="Key">The variable's key.</param>
/// <param name="Type">The variable's type.</param>
public sealed record BoundVariable(int Position, string Key, VariableType Type);

/// <summary>A template and the values that are the same for all recipients of a batch. Immutable, safe to share between threads.</summary>
public sealed class BoundTemplate
{
    private readonly BoundPart[] _parts;
    private readonly BoundVariable[] _requirements;
    private readonly BoundVariable[] _checked;

    internal BoundTemplate(
        VariableSchema schema,
        TemplatePart[] parts,
        bool[] needsValue,
        IReadOnlyList<string> names,
        IReadOnlyDictionary<string, string> campaignValues)
    {
        var positions = new Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < names.Count; i++) positions.TryAdd(names[i], i);
        var variables = schema.Variables.Select(v => new BoundVariable(positions.GetValueOrDefault(v.Key, -1), v.Key, v.Type)).ToArray();
        var constants = schema.Variables.Select(v => campaignValues.GetValueOrDefault(v.Key) ?? Default(v)).ToArray();

        _parts = BindParts(parts, variables, constants);
        _requirements = [.. variables.Where((_, i) => needsValue[i] && constants[i] is null)];
        _checked = [.. variables.Where(v => v.Type != VariableType.String && v.Position >= 0)];
    }

    /// <summary>The variables that the recipient's own values must give because nothing else does.</summary>
    public IReadOnlyList<BoundVariable> Requirements => _requirements;

    /// <summary>The images and actions among the recipients' values: their text must be checked, as no import did.</summary>
    public IReadOnlyList<BoundVariable> Checked => _checked;

    /// <summary>The key of the first required variable that this recipient lacks, or null. Such a recipient must be skipped.</summary>
    public string? MissingFor(ReadOnlySpan<string?> values)
    {
        foreach (var variable in _requirements)
        {
            if (At(values, variable.Position) is null) return variable.Key;
        }
        return null;
    }

    /// <summary>The first image or action of this recipient that is none, <c>"key: what is wrong"</c>, or null.</summary>
    public string? InvalidFor(ReadOnlySpan<string?> values)
    {
        foreach (var variable in _checked)
        {
            if (At(values, variable.Position) is { } text && VariableValue.FaultIn(text, variable.Type) is { } fault)
                return $"{variable.Key}: {fault}";
        }
        return null;
    }

    /// <summary>Writes the message of one recipient as UTF-8 JSON. Whatever the values, what comes out is valid JSON:
    /// an image or action that is none (see <see cref="InvalidFor"/>) counts as a token without a value.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="values">By the positions of the names bound to; null, or beyond the end: not given.</param>
    public void Render(IBufferWriter<byte> output, ReadOnlySpan<string?> values)
    {
        foreach (var part in _parts)
        {
            if (part.Slot is null || At(values, part.Position) is not { } value) output.Write(part.Bytes);
            else if (!part.Slot.TryWrite(value, output)) part.Slot.WriteFallback(output);
        }
    }

    private static string? At(ReadOnlySpan<string?> values, int position) => (uint)position < (uint)values.Length ? values[position] : null;

    private static string? Default(Variable variable) =>
        variable.DefaultValue is { } value && VariableValue.FromJson(value, variable, out var text, out _) ? text : null;

    private static BoundPart[] BindParts(TemplatePart[] parts, BoundVariable[] variables, string?[] constants)
    {
        var bound = new List<BoundPart>();
        var fixedBytes = new ArrayBufferWriter<byte>();
        foreach (var part in parts)
        {
            if (part is Literal literal)
            {
                fixedBytes.Write(literal.Utf8);
                continue;
            }
            var slot = (Slot)part;
            var position = variables[slot.Variable].Position;
            if (position >= 0) TakeFixed(null, -1);
            if (constants[slot.Variable] is not { } constant || !slot.TryWrite(constant, fixedBytes)) slot.WriteFallback(fixedBytes);
            if (position >= 0) TakeFixed(slot, position);
        }
        TakeFixed(null, -1);
        return [.. bound];

        void TakeFixed(Slot? slot, int position)
        {
            if (slot is not null || fixedBytes.WrittenCount > 0)
                bound.Add(new BoundPart(fixedBytes.WrittenSpan.ToArray(), slot, position));
            fixedBytes.ResetWrittenCount();
        }
    }

    /// <summary>Bytes to copy; with a slot: only when the recipient has no value at that position.</summary>
    private readonly record struct BoundPart(byte[] Bytes, Slot? Slot, int Position);
}
