using CampaignService.Templates;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class VariableValueTests
{
    [Theory]
    [InlineData("\"a \\u00e4\\n\"", "a ä\n")]
    [InlineData("\"\"", "")]
    [InlineData("1.0", "1.0")]
    [InlineData("1e5", "1e5")]
    [InlineData("-0", "-0")]
    [InlineData("true", "true")]
    [InlineData("false", "false")]
    [InlineData("null", null)]
    public void A_string_takes_text_numbers_and_booleans_as_their_json_text(string json, string? expected)
    {
        Assert.True(VariableValue.FromJson(Json(json), Text("a"), out var text, out _));
        Assert.Equal(expected, text);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("\"\\u0000\"")]
    [InlineData("\"\\ud800\"")]
    [InlineData("\"\\ude00\\ud83d\"")]
    public void A_string_takes_no_structure_and_no_broken_text(string json)
    {
        Assert.False(VariableValue.FromJson(Json(json), Text("a"), out var text, out var fault));
        Assert.NotEmpty(fault);
        Assert.Null(text);
    }

    [Theory]
    [InlineData(""" { "url" : "https://x/ä😀.png", "width":1.50, "height" : 1e2, "alt": ["a b", { } ], "é" : null } """,
        """{"url":"https://x/ä😀.png","width":1.50,"height":1e2,"alt":["a b",{}],"é":null}""")]
    [InlineData("""{"height":1,"width":0,"url":"\u0061\/"}""", """{"height":1,"width":0,"url":"\u0061\/"}""")]
    public void An_image_is_held_as_compact_json_with_all_its_members(string json, string expected)
    {
        Assert.True(VariableValue.FromJson(Json(json), Image("a"), out var text, out _));
        Assert.Equal(expected, text);
        Assert.True(VariableValue.FromText(json, Image("a"), out text, out _));
        Assert.Equal(expected, text);
        Assert.Null(VariableValue.FaultIn(json, VariableType.Image));
    }

    [Theory]
    [InlineData("5", "not an object")]
    [InlineData("\"https://x\"", "not an object")]
    [InlineData("[]", "not an object")]
    [InlineData("""{"width":1,"height":1}""", "no url")]
    [InlineData("""{"url":"","width":1,"height":1}""", "no url")]
    [InlineData("""{"url":1,"width":1,"height":1}""", "no url")]
    [InlineData("""{"url":"x","width":"1","height":1}""", "no width")]
    [InlineData("""{"url":"x","width":1}""", "no height")]
    [InlineData("""{"url":"x","width":1,"height":1,"url":"y"}""", "twice")]
    [InlineData("""{"url":"\u0000","width":1,"height":1}""", "U+0000")]
    [InlineData("""{"url":"x","width":1,"height":1,"more":["\ud800"]}""", "surrogate")]
    [InlineData("""{"url":"x","width":1,"height":1,"\udc00":0}""", "surrogate")]
    public void An_image_of_another_shape_is_refused_with_what_to_send(string json, string expected)
    {
        Assert.False(VariableValue.FromJson(Json(json), Image("a"), out _, out var fault));
        Assert.Contains(expected, fault);
        Assert.False(VariableValue.FromText(json, Image("a"), out _, out var sameFault));
        Assert.Equal(fault, sameFault);
        Assert.Equal(fault, VariableValue.FaultIn(json, VariableType.Image));
    }

    [Theory]
    [InlineData("""{"type":"web","data":"https://x"}""", null)]
    [InlineData("""{"type":"custom","data":null}""", null)]
    [InlineData("""{"type":"custom","data":{"a":[1]},"x":1}""", null)]
    [InlineData("""{"type":"Web","data":1}""", "no type")]
    [InlineData("""{"type":1,"data":1}""", "no type")]
    [InlineData("""{"data":1}""", "no type")]
    [InlineData("""{"type":"web"}""", "no data")]
    public void An_action_has_a_known_type_and_data(string json, string? expected)
    {
        Assert.Equal(expected is null, VariableValue.FromJson(Json(json), Action("a"), out var text, out var fault));
        Assert.Equal(expected is null ? json : null, text);
        if (expected is not null) Assert.Contains(expected, fault);
    }

    [Theory]
    [InlineData("")]
    [InlineData("https://x/1.png")]
    [InlineData("""{"url":"x","width":1,"height":1""")]
    [InlineData("""{"url":"x","width":1,"height":1} x""")]
    [InlineData("""{"url":"x","width":01,"height":1}""")]
    public void A_cell_that_is_not_json_is_no_image(string cell) =>
        Assert.Contains("send an image", VariableValue.FaultIn(cell, VariableType.Image));

    [Fact]
    public void A_cell_for_a_string_is_held_as_it_is()
    {
        Assert.True(VariableValue.FromText(" {\"a\": 1} ", Text("a"), out var text, out _));
        Assert.Equal(" {\"a\": 1} ", text);
        Assert.False(VariableValue.FromText("a\0", Text("a"), out text, out _));
        Assert.Null(text);
    }

    [Fact]
    public void Half_a_surrogate_pair_in_text_is_a_fault_wherever_it_stands()
    {
        foreach (var text in new[] { "a\ud83d", "\ud83da", "\ude00", "😀\ud83d", "\ud83d\ud83d\ude00", "😀\0" })
            Assert.NotNull(VariableValue.FaultIn(text, VariableType.String));
        Assert.Null(VariableValue.FaultIn("😀😀a😀", VariableType.String));
    }

    [Fact]
    public void A_value_is_limited_in_bytes_of_utf8()
    {
        var longest = new string('a', VariableValue.MaxBytes - 2) + "ä";
        Assert.True(VariableValue.FromText(longest, Text("a"), out _, out _));
        Assert.False(VariableValue.FromText(longest + "a", Text("a"), out _, out var fault));
        Assert.Contains("65,537 bytes", fault);
        Assert.False(VariableValue.FromJson(Json($"\"{longest}a\""), Text("a"), out _, out _));
        var image = Photo.Replace("https", new string('u', VariableValue.MaxBytes), StringComparison.Ordinal);
        Assert.False(VariableValue.FromJson(Json(image), Image("a"), out _, out fault));
        Assert.Contains("at most 65,536", fault);
    }

    [Fact]
    public void A_value_nested_too_deep_is_a_fault()
    {
        var deep = string.Concat(Enumerable.Repeat("[", 64)) + string.Concat(Enumerable.Repeat("]", 64));
        Assert.Contains("deeper than 64", VariableValue.FaultIn($$"""{"type":"web","data":{{deep}}}""", VariableType.Action));
        Assert.Null(VariableValue.FaultIn($$"""{"type":"web","data":{{deep[1..^1]}}}""", VariableType.Action));
    }
}
