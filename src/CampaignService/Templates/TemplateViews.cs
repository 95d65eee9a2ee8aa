using System.Runtime.InteropServices;
using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;

namespace CampaignService.Templates;

/// <summary>A template with the content of its newest version.</summary>
/// <param name="Id">Its id.</param>
/// <param name="TemplateId">Its readable id, taken wherever the id is.</param>
/// <param name="Name">For people.</param>
/// <param name="Status">Where its newest version stands.</param>
/// <param name="CurrentVersion">The number of its newest version.</param>
/// <param name="ApprovedVersion">The number of the newest version that may be sent.</param>
/// <param name="TemplateCategory">What its messages are filed under.</param>
/// <param name="Label">Shown beside its messages.</param>
/// <param name="AlternativeText">Shown where the content cannot be.</param>
/// <param name="Tags">Words to find it by.</param>
/// <param name="VariableSchema">What the content may use.</param>
/// <param name="Channels">What is sent by which channels.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it was last changed.</param>
public sealed record TemplateView(
    string Id, string TemplateId, string Name, TemplateStatus Status, int CurrentVersion, int? ApprovedVersion,
    string? TemplateCategory, string? Label, string? AlternativeText, IReadOnlyList<string> Tags,
    IReadOnlyList<VariableView> VariableSchema, IReadOnlyList<ChannelContentView> Channels, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt)
{
    public static TemplateView Of(Template t) => Of(t, t.Current);

    public static TemplateView Of(Template t, TemplateVersion current) => new(
        t.Id, t.TemplateId, t.Name, t.Status, t.CurrentVersion, t.ApprovedVersion, t.Category, t.Label, t.AlternativeText, t.Tags,
        [.. current.Content.VariableSchema.Select(VariableView.Of)], [.. current.Content.Channels.Select(ChannelContentView.Of)], t.CreatedAt, t.UpdatedAt);
}

/// <summary>One version of a template.</summary>
/// <param name="Version">Its number, from 1.</param>
/// <param name="Status"><c>approved</c>: it may be sent and never changes. <c>draft</c>: it is not approved yet.</param>
/// <param name="VariableSchema">What the content may use.</param>
/// <param name="Channels">What is sent by which channels.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="ApprovedAt">When it was approved.</param>
public sealed record TemplateVersionView(
    int Version, TemplateStatus Status, IReadOnlyList<VariableView> VariableSchema, IReadOnlyList<ChannelContentView> Channels,
    DateTimeOffset CreatedAt, DateTimeOffset? ApprovedAt)
{
    public static TemplateVersionView Of(TemplateVersion v) => new(
        v.Version, v.ApprovedAt is null ? TemplateStatus.Draft : TemplateStatus.Approved,
        [.. v.Content.VariableSchema.Select(VariableView.Of)], [.. v.Content.Channels.Select(ChannelContentView.Of)], v.CreatedAt, v.ApprovedAt);
}

/// <summary>A variable that the content may use.</summary>
/// <param name="Key">What stands in the braces.</param>
/// <param name="Type">What its values are.</param>
/// <param name="Name">A name for people.</param>
/// <param name="Required">Whether a recipient without a value is skipped.</param>
/// <param name="DefaultValue">The value used when neither the recipient nor the campaign gives one.</param>
public sealed record VariableView(string Key, VariableType Type, string? Name, bool Required, RawJson? DefaultValue)
{
    public static VariableView Of(Variable v) => new(v.Key, v.Type, v.Name, v.Required, v.DefaultValue is { } value ? Raw.Of(value) : null);
}

/// <summary>What is sent by one channel.</summary>
/// <param name="ChannelType">The channel's type.</param>
/// <param name="ChannelId">The channel's slug.</param>
/// <param name="Content">The content, tokens and all.</param>
/// <param name="DataType">How the receiving program is to read it.</param>
/// <param name="MessageRetentionHours">The hours after which an in-app message expires; 0: never.</param>
public sealed record ChannelContentView(ChannelType ChannelType, string ChannelId, RawJson Content, string? DataType, int MessageRetentionHours)
{
    public static ChannelContentView Of(ChannelContent c) => new(c.Type, c.ChannelId, Raw.Of(c.Content), c.DataType, c.MessageRetentionHours);
}

file static class Raw
{
    /// <summary>As it was given: written anew, deep content would pass the serializer's limit inside the envelope.</summary>
    public static RawJson Of(JsonElement value) => new(JsonMarshal.GetRawUtf8Value(value).ToArray());
}
