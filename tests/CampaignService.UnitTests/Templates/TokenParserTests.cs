using CampaignService.Templates;

namespace CampaignService.UnitTests.Templates;

public class TokenParserTests
{
    [Theory]
    [InlineData("{{name}}", 0, 8, "name", null)]
    [InlineData("{{  name  }}", 0, 12, "name", null)]
    [InlineData("Hi {{ a.b-c._d }}!", 3, 14, "a/b-c/_d", null)]
    [InlineData("{{n|default:\"x\"}}", 0, 17, "n", "x")]
    [InlineData("{{ n | default : 'x y' }}", 0, 25, "n", "x y")]
    [InlineData("{{ n | default: \"\" }}", 0, 21, "n", "")]
    [InlineData("{{n|default:\"a\\\"\\\\\\nb'\"}}", 0, 25, "n", "a\"\\\nb'")]
    [InlineData("{{n|default:'a\\\"b\"'}}", 0, 21, "n", "a\"b\"")]
    [InlineData("{{n|default:\"}} {{x}}\"}}", 0, 24, "n", "}} {{x}}")]
    [InlineData("{{default}}}", 0, 11, "default", null)]
    [InlineData("😀{{n}}", 2, 5, "n", null)]
    [InlineData("{ {{n}}", 2, 5, "n", null)]
    public void A_token_is_read_with_its_path_and_fallback(string text, int position, int length, string path, string? fallback)
    {
        var (tokens, faults) = Parse(text);
        Assert.Empty(faults);
        var token = Assert.Single(tokens);
        Assert.Equal((position, length, path, fallback), (token.Position, token.Length, string.Join('/', token.Path), token.Fallback));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a } b }} c { d {")]
    [InlineData("}}{x}{ {x}}")]
    public void Lone_braces_are_plain_text(string text)
    {
        var (tokens, faults) = Parse(text);
        Assert.Empty(tokens);
        Assert.Empty(faults);
    }

    [Theory]
    [InlineData("{{", "key must begin")]
    [InlineData("{{}}", "key must begin")]
    [InlineData("{{ }}", "key must begin")]
    [InlineData("{{1a}}", "key must begin")]
    [InlineData("{{ä}}", "key must begin")]
    [InlineData("{{a.}}", "key must begin")]
    [InlineData("{{a..b}}", "key must begin")]
    [InlineData("{{.a}}", "key must begin")]
    [InlineData("{{{a}}}", "key must begin")]
    [InlineData("{{#if a}}", "key must begin")]
    [InlineData("{{a", "'}}' is missing")]
    [InlineData("{{a}", "'}}' is missing")]
    [InlineData("{{a b}}", "'}}' is missing")]
    [InlineData("{{a .b}}", "'}}' is missing")]
    [InlineData("{{a\t}}", "'}}' is missing")]
    [InlineData("{{aä}}", "'}}' is missing")]
    [InlineData("{{a|}}", "only default")]
    [InlineData("{{a|upper}}", "only default")]
    [InlineData("{{a|default}}", "':' is missing")]
    [InlineData("{{a|default:}}", "in quotes")]
    [InlineData("{{a|default: x}}", "in quotes")]
    [InlineData("{{a|default: \"x}}", "left open")]
    [InlineData("{{a|default: \"x'}}", "left open")]
    [InlineData("{{a|default: \"x\\", "only '\"'")]
    [InlineData("{{a|default: \"\\t\"}}", "only '\"'")]
    [InlineData("{{a|default: 'it\\'s'}}", "only '\"'")]
    [InlineData("{{a|default: \"x\" y}}", "'}}' is missing")]
    [InlineData("{{a|default: \"x\" | default: \"y\"}}", "'}}' is missing")]
    public void Anything_else_after_two_braces_is_malformed(string token, string reason)
    {
        var (tokens, faults) = Parse("ab " + token);
        Assert.Empty(tokens);
        var (position, message) = Assert.Single(faults);
        Assert.Equal(3, position);
        Assert.Contains(reason, message);
        Assert.Contains("write {{key}} or {{key | default: \"text\"}}", message);
    }

    [Fact]
    public void Every_malformed_token_is_told_and_the_good_ones_between_are_read()
    {
        var (tokens, faults) = Parse("{{ x {{a}} {{{{ b }} {{");
        Assert.Equal(["a", "b"], tokens.Select(t => t.Path[0]));
        Assert.Equal([0, 11, 21], faults.Select(f => f.Position));
    }

    private static (List<Token> Tokens, List<(int Position, string Message)> Faults) Parse(string text)
    {
        var tokens = new List<Token>();
        var faults = new List<(int, string)>();
        TokenParser.Parse(text, tokens, faults);
        return (tokens, faults);
    }
}
