using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace CampaignService.Templates;

/// <summary>One thing wrong in the content of a template.</summary>
/// <param name="JsonPointer">JSON pointer (RFC 6901) of the value; empty for the whole content.</param>
/// <param name="Position">Where in that string, in UTF-16 units, counted from 0; null when it is not about a place in a string.</param>
/// <param name="Message">What is wrong and what to write.</param>
public sealed record TemplateFault(string JsonPointer, int? Position, string Message)
{
    public override string ToString() =>
        (JsonPointer.Length == 0 ? "" : $"{JsonPointer} ") + (Position is null ? "" : $"at position {Position}: ") + Message;
}

/// <summary>A token whose variable is in no schema: it stays as it stands in the message.</summary>
/// <param name="JsonPointer">JSON pointer (RFC 6901) of the string it stands in.</param>
/// <param name="Position">Where in that string, in UTF-16 units, counted from 0.</param>
/// <param name="Text">The token as it stands, braces included.</param>
public sealed record UnknownToken(string JsonPointer, int Position, string Text);

/// <summary>
/// The content of one channel entry of a template version, taken apart once, so that rendering only copies bytes. Immutable and safe to
/// share between threads.
/// </summary>
public sealed class CompiledTemplate
{
    /// <summary>Longest content, in bytes of UTF-8.</summary>
    public const int MaxContentBytes = 256 * 1024;

    /// <summary>How many faults of one content are told; the rest shows itself at the next try.</summary>
    public const int MaxFaults = 100;

    private readonly TemplatePart[] _parts;
    private readonly bool[] _needsValue;

    internal CompiledTemplate(VariableSchema schema, TemplatePart[] parts, bool[] needsValue, IReadOnlyList<UnknownToken> unknownTokens)
    {
        Schema = schema;
        UnknownTokens = unknownTokens;
        _parts = parts;
        _needsValue = needsValue;
    }

    public VariableSchema Schema { get; }

    /// <summary>For a preflight: tokens that no variable of the schema stands behind.</summary>
    public IReadOnlyList<UnknownToken> UnknownTokens { get; }

    /// <summary>Compiles content that comes from an author.</summary>
    /// <param name="content">A JSON object in UTF-8, up to <see cref="MaxContentBytes"/> and 64 levels, no member twice.</param>
    /// <param name="schema">A schema in which <see cref="VariableSchema.Check"/> finds no fault.</param>
    /// <param name="template">The compiled template, when there is no fault.</param>
    /// <param name="faults">All faults (the first <see cref="MaxFaults"/>), in the order of the content.</param>
    public static bool TryCompile(
        ReadOnlyMemory<byte> content,
        VariableSchema schema,
        [NotNullWhen(true)] out CompiledTemplate? template,
        out IReadOnlyList<TemplateFault> faults)
    {
        var compiler = new TemplateCompiler(schema);
        template = compiler.Compile(content);
        faults = compiler.Faults;
        return template is not null;
    }

    /// <inheritdoc cref="TryCompile(ReadOnlyMemory{byte}, VariableSchema, out CompiledTemplate?, out IReadOnlyList{TemplateFault})"/>
    public static bool TryCompile(
        string content,
        VariableSchema schema,
        [NotNullWhen(true)] out CompiledTemplate? template,
        out IReadOnlyList<TemplateFault> faults)
    {
        if (JsonText.Unstorable(content) is not { } fault)
            return TryCompile(Encoding.UTF8.GetBytes(content), schema, out template, out faults);
        template = null;
        faults = [new TemplateFault("", null, fault.Message)];
        return false;
    }

    /// <summary>Compiles content that was checked when it was saved.</summary>
    /// <exception cref="InvalidOperationException">It is faulty all the same.</exception>
    public static CompiledTemplate Compile(string content, VariableSchema schema) =>
        TryCompile(content, schema, out var template, out var faults)
            ? template
            : throw new InvalidOperationException($"A stored template is faulty: {string.Join("; ", faults)}");

    /// <summary>Resolves once, for all recipients of a batch, where each value comes from: the row, or the same for all.</summary>
    /// <param name="names">The keys of the recipients' values, by position (compared without case, as CSV headers are).</param>
    /// <param name="campaignValues">The campaign's own values by exact key, as text, see <see cref="VariableValue"/>.</param>
    public BoundTemplate Bind(IReadOnlyList<string> names, IReadOnlyDictionary<string, string> campaignValues) =>
        new(Schema, _parts, _needsValue, names, campaignValues);
}
