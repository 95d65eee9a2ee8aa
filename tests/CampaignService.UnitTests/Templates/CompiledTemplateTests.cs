using System.Text;
using CampaignService.Templates;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class CompiledTemplateTests
{
    [Fact]
    public void All_malformed_tokens_are_told_with_pointer_and_position()
    {
        var faults = Faults("""{"a/b": ["x", "😀 {{1}} {{"], "~": {"": "{{"}, "{{": "fine"}""");
        Assert.Equal([("/a~1b/1", 3), ("/a~1b/1", 9), ("/~0/", 0)], faults.Select(f => (f.JsonPointer, f.Position!.Value)));
        Assert.StartsWith("/a~1b/1 at position 3: malformed token: ", faults[0].ToString());
    }

    [Fact]
    public void At_most_a_hundred_faults_are_told() =>
        Assert.Equal(100, Faults(Content(string.Concat(Enumerable.Repeat("{{", 5000)))).Count);

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{} {}", "not valid JSON")]
    [InlineData("[]", "must be a JSON object")]
    [InlineData("\"{{a}}\"", "must be a JSON object")]
    [InlineData("null", "must be a JSON object")]
    public void Content_that_is_no_json_object_is_refused(string content, string expected)
    {
        var fault = Assert.Single(Faults(content));
        Assert.Equal(("", (int?)null), (fault.JsonPointer, fault.Position));
        Assert.Contains(expected, fault.Message);
    }

    [Theory]
    [InlineData("""{"a": ["ok", "\ud83d"]}""", "/a/1", null, "surrogate")]
    [InlineData("""{"a": "xy\u0000"}""", "/a", 2, "U+0000")]
    [InlineData("""{"a": {"\udc00": 1}}""", "/a", null, "surrogate")]
    [InlineData("""{"a": {"\u0000": 1}}""", "/a", null, "U+0000")]
    [InlineData("""{"a": {"x": 1, "\u0078": 2}}""", "/a", null, "'x' twice")]
    public void What_cannot_be_stored_or_read_two_ways_is_refused_with_its_place(string content, string at, int? position, string expected)
    {
        var fault = Assert.Single(Faults(content));
        Assert.Equal((at, position), (fault.JsonPointer, fault.Position));
        Assert.Contains(expected, fault.Message);
    }

    [Fact]
    public void Half_a_surrogate_pair_in_the_source_is_refused() =>
        Assert.Contains("surrogate", Assert.Single(Faults("{\"a\": \"\ud800\"}")).Message);

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused()
    {
        byte[] latin1 = [.. "{\"a\":\""u8, 0xE4, .. "\"}"u8];
        Assert.False(CompiledTemplate.TryCompile(latin1, VariableSchema.Empty, out _, out var faults));
        Assert.Equal("is not UTF-8", Assert.Single(faults).ToString());
    }

    [Fact]
    public void Content_is_limited_in_bytes_and_depth()
    {
        var longest = Content(new string('a', CompiledTemplate.MaxContentBytes - 8));
        Assert.Equal(CompiledTemplate.MaxContentBytes, Encoding.UTF8.GetByteCount(longest));
        Assert.Empty(Faults(longest));
        Assert.Contains("at most 262,144", Assert.Single(Faults(longest + " ")).Message);
        Assert.Empty(Faults(Nested(64)));
        Assert.Contains("64 levels", Assert.Single(Faults(Nested(65))).Message);
    }

    [Fact]
    public void Tokens_in_no_schema_are_listed_for_the_preflight()
    {
        var schema = Schema(Text("name"));
        var content = """{"a": "{{name}} {{Name}}", "b": [{"c": "😀{{ receiver.name | default: \"you\" }}"}]}""";
        Assert.True(CompiledTemplate.TryCompile(content, schema, out var template, out _));
        Assert.Equal(
            [new UnknownToken("/a", 9, "{{Name}}"), new UnknownToken("/b/0/c", 2, "{{ receiver.name | default: \"you\" }}")],
            template.UnknownTokens);
    }

    [Fact]
    public void A_stored_template_that_is_faulty_is_a_bug_and_names_the_fault()
    {
        var bug = Assert.Throws<InvalidOperationException>(() => CompiledTemplate.Compile(Content("{{"), VariableSchema.Empty));
        Assert.Contains("/t at position 0", bug.Message);
    }

    private static string Nested(int depth) =>
        string.Concat(Enumerable.Repeat("{\"a\":", depth - 1)) + "{}" + new string('}', depth - 1);
}
