using CampaignService.Templates;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class BoundTemplateTests
{
    private static readonly Dictionary<string, string> FromCampaign = new() { ["a"] = "campaign" };

    [Theory]
    [InlineData(true, true, true, "row")]
    [InlineData(false, true, true, "campaign")]
    [InlineData(false, false, true, "schema")]
    [InlineData(false, false, false, "token")]
    [InlineData(true, false, false, "row")]
    [InlineData(true, true, false, "row")]
    public void The_recipient_goes_before_the_campaign_before_the_schema_before_the_token(bool row, bool campaign, bool schema, string expected)
    {
        var template = CompiledTemplate.Compile("""{"t": "{{a | default: 'token'}}"}""", Schema(Text("a", defaultJson: schema ? "\"schema\"" : null)));
        var values = campaign ? FromCampaign : NoValues;
        Assert.Equal($$"""{"t":"{{expected}}"}""", template.Bind(["x", "A"], values).Render("other", row ? "row" : null));
        if (!row) Assert.Equal($$"""{"t":"{{expected}}"}""", template.Bind(["x"], values).Render("other", "beyond"));
    }

    [Fact]
    public void Empty_text_given_is_a_value()
    {
        var bound = Bind("{{a}}", [Text("a", required: true, defaultJson: "\"d\"")], ["a"]);
        Assert.Equal("""{"t":""}""", bound.Render(""));
        Assert.Equal("""{"t":"d"}""", bound.Render());
    }

    [Fact]
    public void A_member_missing_in_the_recipients_image_does_not_come_from_the_campaigns()
    {
        var bound = CompiledTemplate.Compile(Content("{{p.alt | default: 'none'}}"), Schema(Image("p")))
            .Bind(["p"], new Dictionary<string, string> { ["p"] = """{"url":"u","width":1,"height":1,"alt":"campaign"}""" });
        Assert.Equal("""{"t":"none"}""", bound.Render(Photo));
        Assert.Equal("""{"t":"campaign"}""", bound.Render((string?)null));
    }

    [Fact]
    public void Values_may_be_shorter_than_names()
    {
        var bound = Bind("{{a}}-{{b}}-{{c}}", [Text("a"), Text("b", required: true), Text("c")], ["a", "b", "c"]);
        Assert.Equal("""{"t":"1-2-"}""", bound.Render("1", "2"));
        Assert.Equal("""{"t":"--"}""", bound.Render());
        Assert.Null(bound.MissingFor(["1", "2"]));
        Assert.Equal("b", bound.MissingFor(["1"]));
        Assert.Equal("b", bound.MissingFor([]));
    }

    [Theory]
    [InlineData("{{a}}", true)]
    [InlineData("{{a}} {{a | default: 'x'}}", true)]
    [InlineData("{{a | default: 'x'}} {{a.b}}", true)]
    [InlineData("no token", true)]
    [InlineData("{{a | default: 'x'}}", false)]
    [InlineData("{{a | default: ''}} {{a | default: 'x'}}", false)]
    public void A_required_variable_is_missing_unless_every_token_of_it_has_a_fallback(string text, bool missing)
    {
        var bound = Bind(text, [Text("a", required: true)], []);
        Assert.Equal(missing ? "a" : null, bound.MissingFor(["whatever"]));
        Assert.Equal(missing ? [new BoundVariable(-1, "a", VariableType.String)] : [], bound.Requirements);
    }

    [Fact]
    public void Only_what_nothing_else_gives_is_required_of_the_recipient()
    {
        var template = CompiledTemplate.Compile(Content("{{a}}{{b}}{{c}}{{d}}{{e}}"), Schema(
            Text("a", required: true), Text("b", required: true, defaultJson: "1"), Text("c"), Image("d", required: true), Text("e", required: true)));
        var bound = template.Bind(["e", "d", "b", "a"], FromCampaign);
        Assert.Equal([new BoundVariable(1, "d", VariableType.Image), new BoundVariable(0, "e", VariableType.String)], bound.Requirements);
        Assert.Equal("d", bound.MissingFor([null, null]));
        Assert.Equal("e", bound.MissingFor([null, Photo]));
        Assert.Null(bound.MissingFor(["", Photo]));
    }

    [Fact]
    public void Images_and_actions_in_rows_are_checked_also_when_optional()
    {
        var bound = Bind("{{p}}", [Text("a"), Image("p"), Action("c"), Image("q")], ["p", "a", "c"]);
        Assert.Equal([new BoundVariable(0, "p", VariableType.Image), new BoundVariable(2, "c", VariableType.Action)], bound.Checked);
        Assert.Null(bound.InvalidFor([]));
        Assert.Null(bound.InvalidFor([Photo, "{", null]));
        Assert.StartsWith("p: has no url; send an image: ", bound.InvalidFor(["{}", "", "{}"]));
        Assert.StartsWith("c: is not valid JSON", bound.InvalidFor([Photo, "", "x"]));
    }

    [Fact]
    public void The_whole_image_of_the_campaign_stands_in_for_a_recipient_without_one()
    {
        var bound = Bind("{{p}}", [Image("p", defaultJson: Photo)], ["p"]);
        Assert.Equal($$"""{"t":{{Photo}}}""", bound.Render((string?)null));
        Assert.Equal("""{"t":{"url":"u"}}""", bound.Render("""{"url": "u"}"""));
    }

    private static BoundTemplate Bind(string text, Variable[] variables, string[] names) =>
        CompiledTemplate.Compile(Content(text), Schema(variables)).Bind(names, NoValues);
}
