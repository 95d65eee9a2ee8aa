using System.Text.Json;
using System.Text.Json.Serialization;
using CampaignService.Channels;
using CampaignService.Common;

namespace CampaignService.Templates;

/// <summary>What one version of a template says, by which channels, with which variables.</summary>
public sealed record TemplateContent(IReadOnlyList<Variable> VariableSchema, IReadOnlyList<ChannelContent> Channels)
{
    public bool Equals(TemplateContent? other) =>
        other is not null && JsonSerializer.Serialize(this, Json.Options) == JsonSerializer.Serialize(other, Json.Options);

    public override int GetHashCode() => HashCode.Combine(VariableSchema.Count, Channels.Count);
}

/// <summary>A template's content for one channel. A channel's number and slug never change, so they are kept here. An in-app message expires after so many hours; 0 = never.</summary>
public sealed record ChannelContent(
    int ChannelNo, string ChannelId, ChannelType Type, [property: JsonConverter(typeof(VerbatimJsonConverter))] JsonElement Content, string? DataType,
    int MessageRetentionHours = 0)
{
    /// <summary>The content for values that stand at their variables' places in the schema.</summary>
    public BoundTemplate BindToSchema(VariableSchema schema) =>
        CompiledTemplate.Compile(Content.GetRawText(), schema).Bind([.. schema.Variables.Select(v => v.Key)], new Dictionary<string, string>());
}
