using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CampaignService.Templates;
using FsCheck;
using FsCheck.Fluent;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class TemplateProperties
{
    private static readonly VariableSchema Known = Schema(Text("a"), Image("p"), Action("c"), Text("r", required: true));

    private static readonly Gen<string> AnyText = Gen.OneOf(
            Gen.Choose(0x20, 0x7E),
            Gen.Choose(1, 0x1F),
            Gen.Elements((int)'"', '\\', '{', '}', '|', '/', '~'),
            Gen.Choose(0x80, 0xD7FF),
            Gen.Choose(0xE000, 0xFFFF),
            Gen.Choose(0x1F300, 0x1FAFF))
        .Select(char.ConvertFromUtf32).Few(12).Select(string.Concat);

    private static readonly Gen<string> PlainText = AnyText.Select(t => t.Replace("{", "(", StringComparison.Ordinal));

    private static readonly Gen<string> AnyKey =
        from first in Gen.Elements("abcXYZ_".ToCharArray())
        from rest in Gen.Elements("abcXYZ_019-".ToCharArray()).Few(6)
        select first + string.Concat(rest);

    private static readonly Gen<string> Spaces = Gen.Choose(0, 2).Select(n => new string(' ', n));

    private static readonly Gen<(string Path, string? Fallback, string Text)> AnyToken =
        from first in AnyKey
        from more in AnyKey.Few(2)
        let path = string.Join('.', more.Prepend(first))
        from known in Gen.Elements(path, "a", "p", "p.url", "c", "c.data.x", "r")
        from fallback in Gen.OneOf(Gen.Constant<string?>(null), AnyText.Select(t => (string?)t))
        from quote in Gen.Elements(fallback?.Contains('\'') == true ? ['"'] : new[] { '"', '\'' })
        from s in Spaces.Three()
        let quoted = fallback?.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
            .Replace("\n", "\\n", StringComparison.Ordinal)
        let filter = fallback is null ? "" : $"|{s.Item1}default{s.Item2}:{s.Item3}{quote}{quoted}{quote}{s.Item1}"
        select (known, fallback, $"{{{{{s.Item1}{known}{s.Item2}{filter}}}}}");

    private static readonly Gen<string> Malformed = Gen.Elements("{{", "{{}}", "{{ 1}}", "{{a b}}", "{{a.}}", "{{a|up}}", "{{a|default:x}}", "{{a}");

    [Fact]
    public void Content_without_tokens_comes_back_as_it_was() => Check(AnyJson(PlainText), json =>
    {
        var rendered = Render(json.ToJsonString(), Known);
        return JsonNode.DeepEquals(json, JsonNode.Parse(rendered)) && rendered == Relaxed(json);
    });

    [Fact]
    public void Any_value_comes_out_as_it_went_in() => Check(
        from value in AnyText
        from before in PlainText
        from after in PlainText
        select (value, before, after),
        x => RenderText($"{x.before}{{{{a}}}}{x.after}", Known, x.value) == x.before + x.value + x.after);

    [Fact]
    public void Whatever_the_values_the_message_is_valid_json() => Check(
        from json in AnyJson(Gen.OneOf(AnyToken.Select(t => t.Text), PlainText, from a in PlainText from t in AnyToken from b in PlainText select a + t.Text + b))
        from values in Gen.OneOf(
            Gen.Constant<string?>(null), AnyText.Select(t => (string?)t), Gen.Constant<string?>(Photo),
            AnyJson(AnyText).Select(j => (string?)j.ToJsonString())).Few(5)
        from columns in Gen.Shuffle(new[] { "a", "p", "c", "r", "x" })
        select (json, values, columns),
        x =>
        {
            var template = CompiledTemplate.Compile(x.json.ToJsonString(), Known);
            var rendered = template.Bind(x.columns, new Dictionary<string, string> { ["c"] = x.values is [{ } value, ..] ? value : "" }).Render([.. x.values]);
            return JsonNode.Parse(rendered) is JsonObject message && message.Count == x.json.Count;
        });

    [Fact]
    public void Well_formed_tokens_are_read_as_they_were_written() => Check(
        (from before in PlainText from token in AnyToken select (before, token)).Few(5),
        pieces =>
        {
            var tokens = new List<Token>();
            var faults = new List<(int, string)>();
            TokenParser.Parse(string.Concat(pieces.Select(p => p.before + p.token.Text)), tokens, faults);
            var positions = pieces.Select((p, i) => pieces.Take(i).Sum(q => q.before.Length + q.token.Text.Length) + p.before.Length);
            return faults.Count == 0
                && tokens.Select(t => (string.Join('.', t.Path), t.Fallback, t.Length, t.Position))
                    .SequenceEqual(pieces.Zip(positions, (p, at) => (p.token.Path, (string?)p.token.Fallback, p.token.Text.Length, at)));
        });

    [Fact]
    public void Malformed_tokens_are_told_at_their_pointer_and_position() => Check(
        (from before in PlainText from token in AnyToken from bad in Malformed select (Good: before + token.Text + before, bad)).Few(5),
        pieces =>
        {
            var text = new StringBuilder();
            var expected = new List<(string, int)>();
            foreach (var (good, bad) in pieces)
            {
                text.Append(good);
                expected.Add(("/x~1y/1", text.Length));
                text.Append(bad).Append(' ');
            }
            var content = new JsonObject { ["x/y"] = new JsonArray(1, text.ToString()) };
            return Faults(content.ToJsonString()).Select(f => (f.JsonPointer, f.Position!.Value)).SequenceEqual(expected);
        });

    [Fact]
    public void An_image_that_is_accepted_is_held_with_equal_meaning() => Check(AnyJson(AnyText), json =>
    {
        var image = JsonNode.Parse(Photo)!.AsObject();
        image["more"] = json.DeepClone();
        var pretty = image.ToJsonString(new JsonSerializerOptions { WriteIndented = true });
        return VariableValue.FromText(pretty, Image("p"), out var text, out _)
            && VariableValue.FaultIn(pretty, VariableType.Image) is null
            && text == image.ToJsonString();
    });

    private static void Check<T>(Gen<T> values, Func<T, bool> holds) =>
        FsCheck.Check.One(Config.QuickThrowOnFailure.WithMaxTest(500), Prop.ForAll(values.ToArbitrary(), holds));

    private static Gen<JsonObject> AnyJson(Gen<string> texts) => ObjectOf(texts, 3);

    private static Gen<JsonObject> ObjectOf(Gen<string> texts, int depth) =>
        from names in PlainText.Few(4)
        from values in ValueOf(texts, depth).ListOf(names.Count)
        select new JsonObject(names.Zip(values, KeyValuePair.Create).DistinctBy(m => m.Key).Select(m => KeyValuePair.Create(m.Key, m.Value?.DeepClone())));

    private static Gen<JsonNode?> ValueOf(Gen<string> texts, int depth)
    {
        var leaf = Gen.OneOf(
            texts.Select(t => (JsonNode?)JsonValue.Create(t)),
            Gen.Choose(-1000, 1000).Select(n => JsonNode.Parse(n.ToString(CultureInfo.InvariantCulture) + ".50e3")),
            Gen.Elements("true", "false", "null").Select(t => JsonNode.Parse(t)));
        return depth == 0
            ? leaf
            : Gen.OneOf(
                leaf,
                ObjectOf(texts, depth - 1).Select(o => (JsonNode?)o),
                ValueOf(texts, depth - 1).Few(4).Select(l => (JsonNode?)new JsonArray([.. l.Select(v => v?.DeepClone())])));
    }

    /// <summary>Compact JSON with only what must be escaped, escaped, by another way than the one under test.</summary>
    private static string Relaxed(JsonNode? node) => node switch
    {
        null => "null",
        JsonObject members => $"{{{string.Join(',', members.Select(m => Quoted(m.Key) + ":" + Relaxed(m.Value)))}}}",
        JsonArray items => $"[{string.Join(',', items.Select(Relaxed))}]",
        _ => node.GetValueKind() == JsonValueKind.String ? Quoted(node.GetValue<string>()) : node.ToJsonString(),
    };

    private static string Quoted(string text) => "\"" + string.Concat(text.Select(c => c switch
    {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        < ' ' => $"\\u{(int)c:x4}",
        _ => c.ToString(),
    })) + "\"";
}

internal static class GenExtensions
{
    /// <summary>Lists that stay short however far a run has come: FsCheck's own would grow trees past what content may hold.</summary>
    public static Gen<IReadOnlyList<T>> Few<T>(this Gen<T> items, int most) =>
        from count in Gen.Choose(0, most)
        from list in items.ListOf(count)
        select (IReadOnlyList<T>)[.. list];
}
