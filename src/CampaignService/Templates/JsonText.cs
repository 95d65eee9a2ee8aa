using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;

namespace CampaignService.Templates;

/// <summary>
/// The little JSON that rendering needs, on UTF-8. Only what JSON demands is escaped: the framework's relaxed encoder would also rewrite
/// emoji and private-use characters as <c>\u</c> pairs, and text is to come out byte for byte as it went in.
/// </summary>
internal static class JsonText
{
    public const int MaxDepth = 64;
    public const string BrokenText = "holds half of a surrogate pair or bytes that are not UTF-8; send whole characters";

    private static readonly JsonReaderOptions Reading = new() { MaxDepth = MaxDepth };
    private static readonly byte[] Special = [.. Enumerable.Range(0, 32).Select(i => (byte)i), (byte)'"', (byte)'\\'];
    private static readonly SearchValues<byte> SpecialBytes = SearchValues.Create(Special);
    private static readonly SearchValues<char> SpecialChars = SearchValues.Create([.. Special.Select(b => (char)b)]);
    private static readonly SearchValues<char> Suspects =
        SearchValues.Create([.. Enumerable.Range(0xD800, 0x800).Select(i => (char)i), '\0']);

    /// <summary>Writes text as the inside of a JSON string.</summary>
    public static void Escape(ReadOnlySpan<char> text, IBufferWriter<byte> output)
    {
        for (int at; (at = text.IndexOfAny(SpecialChars)) >= 0; text = text[(at + 1)..])
        {
            WriteUtf8(text[..at], output);
            EscapeOne((byte)text[at], output);
        }
        WriteUtf8(text, output);
    }

    /// <summary>Writes UTF-8 text as the inside of a JSON string.</summary>
    public static void Escape(ReadOnlySpan<byte> text, IBufferWriter<byte> output)
    {
        for (int at; (at = text.IndexOfAny(SpecialBytes)) >= 0; text = text[(at + 1)..])
        {
            output.Write(text[..at]);
            EscapeOne(text[at], output);
        }
        output.Write(text);
    }

    /// <summary>Removes the white space between the tokens of valid JSON, in place, and gives the length that is left.
    /// Names, texts and numbers stay as they are written.</summary>
    public static int Compact(Span<byte> json)
    {
        // What is written never overtakes what is read: every byte kept stood at or after its new place.
        var reader = new Utf8JsonReader(json, Reading);
        var length = 0;
        var comma = false;
        while (reader.Read())
        {
            var ends = reader.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray;
            if (comma && !ends) json[length++] = (byte)',';
            var token = json[(int)reader.TokenStartIndex..(int)reader.BytesConsumed];
            var isName = reader.TokenType == JsonTokenType.PropertyName;
            // The reader counts a name's colon, and the space before it, as consumed.
            if (isName) token = token[..(reader.ValueSpan.Length + 2)];
            token.CopyTo(json[length..]);
            length += token.Length;
            if (isName) json[length++] = (byte)':';
            comma = !isName && reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray);
        }
        return length;
    }

    public static bool IsObject(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json, Reading);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) return false;
            while (reader.Read())
            {
            }
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Finds the value at a path of member names in a valid JSON object; JSON null counts as nothing found.</summary>
    public static bool TryFind(ReadOnlySpan<byte> json, byte[][] path, out ReadOnlySpan<byte> value)
    {
        value = default;
        var reader = new Utf8JsonReader(json, Reading);
        reader.Read();
        foreach (var name in path)
        {
            if (reader.TokenType != JsonTokenType.StartObject || !MoveTo(ref reader, name)) return false;
        }
        if (reader.TokenType == JsonTokenType.Null) return false;
        var start = (int)reader.TokenStartIndex;
        reader.Skip();
        value = json[start..(int)reader.BytesConsumed];
        return true;
    }

    public static bool TryGetString(JsonElement value, [NotNullWhen(true)] out string? text)
    {
        try
        {
            text = value.GetString();
            return text is not null;
        }
        catch (InvalidOperationException)
        {
            // So the framework says that escapes or bytes do not make up whole characters.
            text = null;
            return false;
        }
    }

    /// <summary>What PostgreSQL or UTF-8 cannot hold: U+0000 or half of a surrogate pair; where, and in words.</summary>
    public static (int Position, string Message)? Unstorable(ReadOnlySpan<char> text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            var next = text[i..].IndexOfAny(Suspects);
            if (next < 0) return null;
            i += next;
            if (text[i] == '\0') return (i, "holds the character U+0000, which cannot be stored; leave it out");
            if (!char.IsHighSurrogate(text[i]) || i + 1 == text.Length || !char.IsLowSurrogate(text[i + 1])) return (i, BrokenText);
            i++;
        }
        return null;
    }

    /// <summary>The first <see cref="Unstorable"/> character that an escape in valid JSON stands for, in words.</summary>
    /// <exception cref="JsonException">It is not JSON.</exception>
    public static string? FaultInStrings(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, Reading);
        while (reader.Read())
        {
            if (!reader.ValueIsEscaped) continue;
            try
            {
                if (Unstorable(reader.GetString()) is { } fault) return fault.Message;
            }
            catch (InvalidOperationException)
            {
                return BrokenText;
            }
        }
        return null;
    }

    private static bool MoveTo(ref Utf8JsonReader inObject, byte[] name)
    {
        while (inObject.Read() && inObject.TokenType == JsonTokenType.PropertyName)
        {
            var found = inObject.ValueTextEquals(name);
            inObject.Read();
            if (found) return true;
            inObject.Skip();
        }
        return false;
    }

    private static void WriteUtf8(ReadOnlySpan<char> text, IBufferWriter<byte> output)
    {
        if (!text.IsEmpty) Encoding.UTF8.GetBytes(text, output);
    }

    private static void EscapeOne(byte special, IBufferWriter<byte> output)
    {
        switch (special)
        {
            case (byte)'"': output.Write("\\\""u8); break;
            case (byte)'\\': output.Write("\\\\"u8); break;
            case (byte)'\n': output.Write("\\n"u8); break;
            case (byte)'\r': output.Write("\\r"u8); break;
            case (byte)'\t': output.Write("\\t"u8); break;
            default:
                output.Write("\\u00"u8);
                output.Write([(byte)('0' + (special >> 4)), "0123456789abcdef"u8[special & 15]]);
                break;
        }
    }
}
