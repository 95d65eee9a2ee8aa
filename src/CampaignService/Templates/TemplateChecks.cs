using System.Runtime.InteropServices;
using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using FluentValidation;

namespace CampaignService.Templates;

/// <summary>What the contracts of templates share. Every fault of a schema and of contents is named, each with its place.</summary>
public static class TemplateChecks
{
    public const int MaxAlternativeText = 1000, MaxTags = 50, MaxVariables = 100, MaxChannels = 20, MaxRetentionHours = 8760;

    public const string StatusExpected = "must be draft or approved; DELETE archives a template";

    public static void Tags<T>(this IRuleBuilderInitial<T, IReadOnlyList<string>?> rule, string path) => rule.Custom((tags, context) =>
    {
        if (tags?.Count > MaxTags) context.AddFailure(path, $"must hold at most {MaxTags} tags, this has {tags.Count:N0}");
        for (var i = 0; i < Math.Min(tags?.Count ?? 0, MaxTags); i++)
        {
            if (tags![i] is not { } tag) context.AddFailure($"{path}[{i}]", "must be text");
            else if (Text.Length(tag.AsSpan().Trim()) is not (>= 1 and <= Text.MaxLabel)) context.AddFailure($"{path}[{i}]", $"must have 1 to {Text.MaxLabel} characters");
        }
    });

    public static void VariableSchema<T>(this IRuleBuilderInitial<T, IReadOnlyList<VariableEntry>?> rule, string path) => rule.Custom((entries, context) =>
    {
        if (entries is null) return;
        if (entries.Count > MaxVariables)
        {
            context.AddFailure(path, $"must hold at most {MaxVariables} variables, this has {entries.Count:N0}");
            return;
        }
        // An entry that is null is a fault which Check names, too.
        foreach (var fault in new VariableSchema([.. entries.Select(e => e?.ToVariable()!)]).Check(path))
        {
            var end = fault.IndexOf(':', StringComparison.Ordinal);
            context.AddFailure(fault[..end], fault[(end + 2)..]);
        }
    });

    public static void Channels<T>(this IRuleBuilderInitial<T, IReadOnlyList<ChannelEntry>?> rule, string path) => rule.Custom((entries, context) =>
    {
        if (entries is null) return;
        if (entries.Count is 0 or > MaxChannels)
        {
            context.AddFailure(path, $"must hold 1 to {MaxChannels} entries, this has {entries.Count:N0}");
            return;
        }
        for (var i = 0; i < entries.Count; i++) CheckChannel(entries[i], $"{path}[{i}]", context);
    });

    private static void CheckChannel<T>(ChannelEntry? entry, string at, ValidationContext<T> context)
    {
        if (entry is null)
        {
            context.AddFailure(at, "must be an object");
            return;
        }
        if (entry.ChannelId is not null && string.IsNullOrWhiteSpace(entry.ChannelId)) context.AddFailure($"{at}.channelId", "must not be empty; leave it out to mean the only channel of that type");
        if (entry.DataType is { } type && Text.Length(type) > Text.MaxLabel) context.AddFailure($"{at}.dataType", $"must have at most {Text.MaxLabel} characters");
        if (entry.MessageRetentionHours is < 0 or > MaxRetentionHours) context.AddFailure($"{at}.messageRetentionHours", $"must be 1 to {MaxRetentionHours}, or 0 for a message that never expires");
        else if (entry.MessageRetentionHours > 0 && entry.ChannelType is not (ChannelType.InApp or 0)) context.AddFailure($"{at}.messageRetentionHours", "is for in-app channels only");
        // Which variables there are changes what a token becomes, never whether it is well formed: this holds for every schema.
        CompiledTemplate.TryCompile(Bytes(entry.Content), Templates.VariableSchema.Empty, out _, out var faults);
        foreach (var fault in faults)
        {
            context.AddFailure($"{at}.content{fault.JsonPointer}", fault.Position is { } position ? $"at position {position}: {fault.Message}" : fault.Message);
        }
    }

    private static byte[] Bytes(JsonElement json) => json.ValueKind == JsonValueKind.Undefined ? [] : JsonMarshal.GetRawUtf8Value(json).ToArray();
}
