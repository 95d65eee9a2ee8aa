using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using CampaignService.Common;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>
/// What the generator does not know of a schema: the meaning of each enum value, defaults, and limits. Limits are taken from the words of
/// the description ("1 to 200 characters", "up to 100 tags"), so that prose and keyword cannot differ; a test holds them against the validators.
/// </summary>
public sealed partial class SchemaDetails(XDocument comments) : ISchemaFilter
{
    private readonly Dictionary<string, string> _summaries = comments.Descendants("member")
        .Where(m => m.Element("summary") is not null)
        .ToDictionary(m => m.Attribute("name")!.Value, m => XmlCommentsTextHelper.Humanize(string.Concat(m.Element("summary")!.Nodes())));

    public void Apply(IOpenApiSchema schema, SchemaFilterContext context)
    {
        if (schema is not OpenApiSchema own || context.MemberInfo is not null) return;
        // Members that are not known are ignored in requests, and answers may get more of them.
        own.AdditionalPropertiesAllowed = true;
        if (context.Type.IsEnum) own.Description = Describe(context.Type);
        if (context.Type == typeof(RawJson)) own.Description = "Any JSON.";
        if (own.Properties is null) return;
        foreach (var member in context.Type.GetProperties())
        {
            var name = JsonNamingPolicy.CamelCase.ConvertName(member.Name);
            if (own.Properties.TryGetValue(name, out var property)) own.Properties[name] = Complete(property, member, DefaultOf(context.Type, member));
        }
    }

    /// <summary>What a member has when it is left out, where that is a value.</summary>
    public static JsonNode? DefaultOf(Type owner, PropertyInfo member)
    {
        if (!member.PropertyType.IsValueType || member.IsDefined(typeof(RequiredMemberAttribute))) return null;
        var value = owner.GetConstructor([]) is not null ? member.GetValue(Activator.CreateInstance(owner))
            : owner.GetConstructors() is [var only] ? only.GetParameters().SingleOrDefault(p => p.Name == member.Name && p.HasDefaultValue)?.DefaultValue
            : null;
        return value is bool or int or long or Enum ? JsonSerializer.SerializeToNode(value, value.GetType(), Json.Options) : null;
    }

    private static IOpenApiSchema Complete(IOpenApiSchema property, PropertyInfo member, JsonNode? value)
    {
        if (property is OpenApiSchema inline)
        {
            SetLimits(inline);
            inline.Default = value;
        }
        if (property is not OpenApiSchemaReference reference) return property;
        if (!ContractTypes.IsNullable(member))
        {
            reference.Default = value;
            return reference;
        }
        // A reference cannot say that it may be null; a choice between it and null can.
        var either = new OpenApiSchema { Description = reference.Description, OneOf = [reference, new OpenApiSchema { Type = JsonSchemaType.Null }] };
        reference.Description = null;
        return either;
    }

    private string Describe(Type type) => string.Join('\n', Enum.GetNames(type)
        .Select(name => $"- `{JsonSerializer.SerializeToNode(Enum.Parse(type, name), type, Json.Options)}`: {_summaries.GetValueOrDefault($"F:{type.FullName}.{name}")}")
        .Prepend(_summaries.GetValueOrDefault($"T:{type.FullName}") + "\n"));

    private static void SetLimits(OpenApiSchema schema)
    {
        foreach (Match limit in Limit().Matches(schema.Description ?? ""))
        {
            var (min, max) = (Number(limit.Groups["min"]), Number(limit.Groups["max"]));
            var countsCharacters = limit.Groups["unit"].Value is "characters" or "letters";
            var text = schema.Type?.HasFlag(JsonSchemaType.String) == true ? schema : schema.Items as OpenApiSchema;
            if (countsCharacters && text is not null) (text.MinLength, text.MaxLength) = (min, max);
            else if (!countsCharacters && schema.Items is not null) (schema.MinItems, schema.MaxItems) = (min, max);
        }
    }

    private static int? Number(Group digits) =>
        digits.Success ? int.Parse(digits.Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture) : null;

    [GeneratedRegex(@"\b((?<min>\d[\d,]*) to|up to|at most) (?<max>\d[\d,]*) (?<unit>[a-z]+)", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture)]
    private static partial Regex Limit();
}
