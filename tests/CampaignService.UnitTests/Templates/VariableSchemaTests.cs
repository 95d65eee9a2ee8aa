using System.Text.Json;
using CampaignService.Templates;
using static CampaignService.UnitTests.Templates.TemplateTestKit;

namespace CampaignService.UnitTests.Templates;

public class VariableSchemaTests
{
    [Fact]
    public void A_variable_survives_storage_as_camel_case_json()
    {
        IReadOnlyList<Variable> list = [new("photo", VariableType.Image, "The photo", true, Json(Photo)), new("name")];
        var stored = JsonSerializer.Serialize(list, JsonSerializerOptions.Web);
        Assert.Equal("""[{"key":"photo","type":"image","name":"The photo","required":true,"defaultValue":"""
            + Photo + """},{"key":"name","type":"string","name":null,"required":false,"defaultValue":null}]""", stored);
        var read = JsonSerializer.Deserialize<List<Variable>>(stored, JsonSerializerOptions.Web)!;
        Assert.Equal(stored, JsonSerializer.Serialize(read, JsonSerializerOptions.Web));
        Assert.Null(read[1].DefaultValue);
    }

    [Fact]
    public void What_a_request_leaves_out_has_its_default()
    {
        var read = JsonSerializer.Deserialize<Variable>("""{"key": "a"}""", JsonSerializerOptions.Web);
        Assert.Equal(new Variable("a", VariableType.String, null, false, null), read);
    }

    [Fact]
    public void Keys_are_found_exactly_or_without_case()
    {
        var schema = Schema(Text("first"), Image("Photo"));
        Assert.Equal(1, schema.IndexOf("Photo"));
        Assert.Equal(-1, schema.IndexOf("photo"));
        Assert.Null(schema.Find("photo"));
        Assert.Equal("Photo", schema.Find("Photo")!.Key);
        Assert.Equal("Photo", schema.FindIgnoreCase("PHOTO")!.Key);
        Assert.Null(schema.FindIgnoreCase("fotos"));
    }

    [Fact]
    public void A_good_schema_has_no_faults() =>
        Assert.Empty(Schema(Text("_a-1", defaultJson: "1.0"), Image("photo", defaultJson: Photo), Text(new string('k', 100)),
            new Variable("n", Name: string.Concat(Enumerable.Repeat("😀", 200)))).Check("variableSchema"));

    [Theory]
    [InlineData("")]
    [InlineData("1a")]
    [InlineData("-a")]
    [InlineData("a b")]
    [InlineData("a.b")]
    [InlineData("ä")]
    [InlineData("a\n")]
    [InlineData(null)]
    public void A_key_of_another_shape_is_refused(string? key) =>
        Assert.StartsWith("variableSchema[0].key: ", Assert.Single(Schema(Text(key!)).Check("variableSchema")));

    [Fact]
    public void Every_fault_is_told_with_its_place()
    {
        var schema = new VariableSchema([
            Text("name"), Text("NAME"), null!, Text(new string('k', 101)), Image("photo", defaultJson: "\"x\""),
            new Variable("n", Name: new string('n', 201)), new Variable("m", Name: "\0"), new Variable("t", (VariableType)7),
        ]);
        var faults = schema.Check("variableSchema").ToList();
        Assert.Equal(
            ["[1].key", "[2]", "[3].key", "[4].defaultValue", "[5].name", "[6].name", "[7].type"],
            faults.Select(f => f["variableSchema".Length..f.IndexOf(": ", StringComparison.Ordinal)]));
        Assert.Contains("entry 0", faults[0]);
    }
}
