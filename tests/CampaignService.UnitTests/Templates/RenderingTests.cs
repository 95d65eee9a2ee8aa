using CampaignService.Templates;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class RenderingTests
{
    private static readonly VariableSchema Person = Schema(Text("name"), Image("photo"), Action("cta"));

    [Fact]
    public void What_the_author_wrote_keeps_its_order_its_numbers_and_its_characters() =>
        Assert.Equal(
            """{"z":1.0,"a":[1e5,-0,12345678901234567890.10,true,false,null,{},[]],"ünï\"😀":"e\u0301 👩‍👩‍👧 <b>&'+/ \\ \u0001"}""".Replace("e\\u0301", "e\u0301", StringComparison.Ordinal),
            Render("""{ "z": 1.0, "a": [1e5, -0, 12345678901234567890.10, true, false, null, {}, []], "\u00fcnï\"😀": "e\u0301 👩‍👩‍👧 <b>&'+\/ \\ \u0001" }""", Person));

    [Theory]
    [InlineData("Hi {{name}}, {{ name }}!", "Zoë", "Hi Zoë, Zoë!")]
    [InlineData("{{name}}", "", "")]
    [InlineData("{{name}}", "\"\\\n\t\u0001/ <b>&amp; 😀 e\u0301 \u2028 \ue000 \u007f", "\"\\\n\t\u0001/ <b>&amp; 😀 e\u0301 \u2028 \ue000 \u007f")]
    [InlineData("{{name}}{{name}}", "{{name}} {{photo}}", "{{name}} {{photo}}{{name}} {{photo}}")]
    [InlineData("[{{name}}]", null, "[]")]
    [InlineData("{{name | default: \"you \\\"\\n\"}}", null, "you \"\n")]
    [InlineData("{{name | default: \"you\"}}", "", "")]
    [InlineData("{{name.first}}|{{name.first | default: 'x'}}", "Ann", "|x")]
    [InlineData("}} { {{name}} }", "a", "}} { a }")]
    [InlineData("{{ nobody }} {{Name}} {{nobody.x|default:'f'}}", "a", "{{ nobody }} {{Name}} {{nobody.x|default:'f'}}")]
    public void Text_is_inserted_once_and_as_it_is(string text, string? name, string expected) =>
        Assert.Equal(expected, RenderText(text, Person, name));

    [Fact]
    public void Text_comes_out_byte_for_byte_with_only_what_json_demands_escaped() =>
        Assert.Equal("{\"t\":\"😀 e\u0301 <&'> \\\" \\\\ \\n\\r\\t\\u0000\\u001f\"}", Render(Content("{{name}}"), Person, "😀 e\u0301 <&'> \" \\ \n\r\t\0\u001f"));

    [Fact]
    public void Tokens_in_member_names_are_not_tokens() =>
        Assert.Equal("""{"{{name}}":"a"}""", Render("""{"{{name}}": "{{name}}"}""", Person, "a"));

    [Theory]
    [InlineData("{{photo}}", Photo)]
    [InlineData("{{ photo | default: \"x\" }}", Photo)]
    [InlineData("{{photo.url}}", "\"https://x/1.png\"")]
    [InlineData("{{photo.width}}", "\"640\"")]
    [InlineData("{{photo.nothing}}", "\"\"")]
    [InlineData("{{photo.nothing | default: 'x'}}", "\"x\"")]
    [InlineData("{{photo.url.x}}", "\"\"")]
    [InlineData(" {{photo}}", """" {\"url\":\"https://x/1.png\",\"width\":640,\"height\":480}"""")]
    public void An_image_is_an_object_alone_and_text_inside_a_longer_string(string text, string expected)
    {
        if (text[0] == ' ') expected = $"\"{expected}\"";
        Assert.Equal($$"""{"t":{{expected}}}""", Render(Content(text), Person, null, Photo));
    }

    [Theory]
    [InlineData("{{photo}}", "\"\"")]
    [InlineData("{{photo | default: \"a \\\" b\"}}", "\"a \\\" b\"")]
    [InlineData("[{{photo}}]", "\"[]\"")]
    [InlineData("[{{photo | default: 'x'}}]", "\"[x]\"")]
    [InlineData("{{photo.url}}", "\"\"")]
    [InlineData("{{photo.url | default: 'x'}}", "\"x\"")]
    public void A_missing_image_is_empty_text_alone_and_inside_a_longer_string(string text, string expected)
    {
        Assert.Equal($$"""{"t":{{expected}}}""", Render(Content(text), Person, null, null));
        // A CSV cell nobody checked counts as no value, so that the message stays valid JSON.
        Assert.Equal($$"""{"t":{{expected}}}""", Render(Content(text), Person, null, "{\"url\": nonsense"));
        Assert.Equal($$"""{"t":{{expected}}}""", Render(Content(text), Person, null, "[1]"));
    }

    [Theory]
    [InlineData("{{cta.data.a.b}}", "x\"y")]
    [InlineData("{{cta.data.list}}", "[1,{\"é\":\"\\\"\"}]")]
    [InlineData("{{cta.data.n}}", "1.50")]
    [InlineData("{{cta.data.yes}}", "true")]
    [InlineData("{{cta.data.nil | default: 'none'}}", "none")]
    [InlineData("{{cta.data.list.x | default: 'none'}}", "none")]
    [InlineData("{{cta.data.esc}}", "ab/")]
    public void A_path_walks_into_an_action_and_inserts_text(string text, string expected)
    {
        const string Cta = """ { "type" : "custom", "data" : { "a" : { "a": 0, "b" : "x\"y" }, "list" : [ 1, { "é" : "\"" } ], "n": 1.50, "yes": true, "nil": null, "\u0065sc": "\u0061b\/" } } """;
        Assert.Equal(expected, RenderText(text, Person, null, null, Cta));
    }

    [Fact]
    public void An_image_from_a_csv_cell_is_inserted_compact() =>
        Assert.Equal("{\"a\":" + Photo + "}", Render("""{"a": "{{photo}}"}""", Person, null, "\n" + Photo.Replace(":", " : ", StringComparison.Ordinal).Replace("https : ", "https:", StringComparison.Ordinal)));
}
