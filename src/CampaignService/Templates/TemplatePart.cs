using System.Buffers;
using System.Text;

namespace CampaignService.Templates;

/// <summary>A piece of a compiled template: JSON to copy, or the place of a token.</summary>
internal abstract record TemplatePart;

/// <summary>Finished UTF-8 JSON; with its neighbours it makes up whole values.</summary>
internal sealed record Literal(byte[] Utf8) : TemplatePart;

/// <summary>How a value is put into its place.</summary>
internal enum SlotForm
{
    /// <summary>Text, inside a JSON string.</summary>
    Text,

    /// <summary>An image's or action's JSON as text, inside a JSON string.</summary>
    ObjectAsText,

    /// <summary>A member of an image or action as text, inside a JSON string.</summary>
    MemberAsText,

    /// <summary>The image or action itself, in place of the whole string.</summary>
    WholeObject,
}

/// <summary>The place of a token.</summary>
/// <param name="Variable">Position in the schema.</param>
/// <param name="Form">How the value is put in.</param>
/// <param name="Path">For <see cref="SlotForm.MemberAsText"/>: names of the members to walk into, UTF-8.</param>
/// <param name="Fallback">The token's own fallback.</param>
internal sealed record Slot(int Variable, SlotForm Form, byte[][] Path, string? Fallback) : TemplatePart
{
    /// <summary>Writes what stands here when there is no value, or none that can be used.</summary>
    public void WriteFallback(IBufferWriter<byte> output)
    {
        if (Form != SlotForm.WholeObject)
        {
            JsonText.Escape(Fallback, output);
            return;
        }
        output.Write("\""u8);
        JsonText.Escape(Fallback, output);
        output.Write("\""u8);
    }

    /// <summary>Writes the value; false, with nothing written, when it does not fit the variable's type or has no such member.</summary>
    public bool TryWrite(string value, IBufferWriter<byte> output)
    {
        if (Form != SlotForm.Text) return TryWriteObject(value, output);
        JsonText.Escape(value, output);
        return true;
    }

    private bool TryWriteObject(string value, IBufferWriter<byte> output)
    {
        var rented = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(value.Length));
        try
        {
            var json = rented.AsSpan(0, Encoding.UTF8.GetBytes(value, rented));
            // A CSV cell is stored as it came: what breaks the message it is put into must not get past here.
            if (!JsonText.IsObject(json)) return false;
            json = json[..JsonText.Compact(json)];
            if (Form == SlotForm.MemberAsText) return TryWriteMember(json, output);
            if (Form == SlotForm.WholeObject) output.Write(json);
            else JsonText.Escape(json, output);
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private bool TryWriteMember(ReadOnlySpan<byte> json, IBufferWriter<byte> output)
    {
        if (!JsonText.TryFind(json, Path, out var member)) return false;
        // The inside of a JSON string fits into another as it is; all else is inserted as the text it is written with.
        if (member[0] == '"') output.Write(member[1..^1]);
        else JsonText.Escape(member, output);
        return true;
    }
}
