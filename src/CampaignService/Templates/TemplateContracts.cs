using System.Text.Json;
using CampaignService.Channels;
using CampaignService.Common;
using FluentValidation;

namespace CampaignService.Templates;

/// <summary>A new template.</summary>
public sealed class CreateTemplate
{
    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>Spring sale</example>
    public required string Name { get; init; }

    /// <summary>A readable id, unique in the app and never changed; made from the name, and unique by a suffix, when left out.</summary>
    /// <example>cc-template-spring-sale</example>
    public string? TemplateId { get; init; }

    /// <summary>The name of a category to file its messages under in the feed, up to 100 characters; one that is not there is made.</summary>
    /// <example>Marketing</example>
    public string? TemplateCategory { get; init; }

    /// <summary>A short text shown beside its messages, up to 100 characters.</summary>
    /// <example>Sale</example>
    public string? Label { get; init; }

    /// <summary>What is shown where the content cannot be, up to 1,000 characters.</summary>
    public string? AlternativeText { get; init; }

    /// <summary>Up to 50 words to find it by, each 1 to 100 characters.</summary>
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary><c>draft</c>, or <c>approved</c> to approve its first version at once.</summary>
    public TemplateStatus Status { get; init; } = TemplateStatus.Draft;

    /// <summary>Up to 100 variables that the content may use.</summary>
    public IReadOnlyList<VariableEntry>? VariableSchema { get; init; }

    /// <summary>What is sent by which channels: 1 to 20 entries, each of another channel.</summary>
    public required IReadOnlyList<ChannelEntry> Channels { get; init; }

    public sealed class Validator : AbstractValidator<CreateTemplate>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.TemplateId).Slug(Ids.Template);
            RuleFor(b => b.TemplateId).NotEqual("categories").WithMessage("must not be 'categories', under which those are found");
            RuleFor(b => b.TemplateCategory).AtMost(Text.MaxLabel);
            RuleFor(b => b.Label).AtMost(Text.MaxLabel);
            RuleFor(b => b.AlternativeText).AtMost(TemplateChecks.MaxAlternativeText);
            RuleFor(b => b.Tags).Tags("tags");
            RuleFor(b => b.Status).Must(s => s != TemplateStatus.Archived).WithMessage(TemplateChecks.StatusExpected);
            RuleFor(b => b.VariableSchema).VariableSchema("variableSchema");
            RuleFor(b => b.Channels).Channels("channels");
        }
    }
}

/// <summary>
/// A change to a template: members left out stay as they are, <c>null</c> empties those that may be empty. When content, schema or
/// channels of an approved version change, they become the next version, a draft.
/// </summary>
public sealed class EditTemplate
{
    /// <summary>For people, 1 to 200 characters.</summary>
    public string? Name { get; init; }

    /// <summary>The name of a category to file its messages under in the feed, up to 100 characters; one that is not there is made.</summary>
    public Optional<string?> TemplateCategory { get; init; }

    /// <summary>A short text shown beside its messages, up to 100 characters.</summary>
    public Optional<string?> Label { get; init; }

    /// <summary>What is shown where the content cannot be, up to 1,000 characters.</summary>
    public Optional<string?> AlternativeText { get; init; }

    /// <summary>Up to 50 words to find it by, each 1 to 100 characters, in place of those before.</summary>
    public Optional<IReadOnlyList<string>?> Tags { get; init; }

    /// <summary><c>approved</c> approves the newest version, with what this request changes. <c>draft</c> is taken only when it is a draft already.</summary>
    public TemplateStatus? Status { get; init; }

    /// <summary>Up to 100 variables, in place of those before.</summary>
    public Optional<IReadOnlyList<VariableEntry>?> VariableSchema { get; init; }

    /// <summary>1 to 20 entries, in place of those before.</summary>
    public IReadOnlyList<ChannelEntry>? Channels { get; init; }

    public sealed class Validator : AbstractValidator<EditTemplate>
    {
        public Validator()
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.TemplateCategory.Value).AtMost(Text.MaxLabel).OverridePropertyName("templateCategory");
            RuleFor(b => b.Label.Value).AtMost(Text.MaxLabel).OverridePropertyName("label");
            RuleFor(b => b.AlternativeText.Value).AtMost(TemplateChecks.MaxAlternativeText).OverridePropertyName("alternativeText");
            RuleFor(b => b.Tags.Value).Tags("tags");
            RuleFor(b => b.Status).Must(s => s != TemplateStatus.Archived).WithMessage(TemplateChecks.StatusExpected);
            RuleFor(b => b.VariableSchema.Value).VariableSchema("variableSchema");
            RuleFor(b => b.Channels).Channels("channels");
        }
    }
}

/// <summary>The next version of a template: what is left out is as in the newest one.</summary>
public sealed class CreateTemplateVersion
{
    /// <summary>Up to 100 variables.</summary>
    public IReadOnlyList<VariableEntry>? VariableSchema { get; init; }

    /// <summary>1 to 20 entries, each of another channel.</summary>
    public IReadOnlyList<ChannelEntry>? Channels { get; init; }

    public sealed class Validator : AbstractValidator<CreateTemplateVersion>
    {
        public Validator()
        {
            RuleFor(b => b.VariableSchema).VariableSchema("variableSchema");
            RuleFor(b => b.Channels).Channels("channels");
        }
    }
}

/// <summary>A variable that the content may use, by <c>{{key}}</c>.</summary>
public sealed class VariableEntry
{
    /// <summary>What stands in the braces: a letter or <c>_</c>, then letters, digits, <c>_</c>, <c>-</c>; up to 100.</summary>
    /// <example>name</example>
    public required string Key { get; init; }

    /// <summary>What its values are.</summary>
    public VariableType Type { get; init; } = VariableType.String;

    /// <summary>A name for people, up to 200 characters.</summary>
    /// <example>First name</example>
    public string? Name { get; init; }

    /// <summary>A recipient for whom nothing gives this variable a value is skipped, never sent half-empty.</summary>
    public bool Required { get; init; }

    /// <summary>The value used when neither the recipient nor the campaign gives one; it must fit the type.</summary>
    public JsonElement? DefaultValue { get; init; }

    /// <summary>Another name of <c>defaultValue</c>, which goes before it.</summary>
    public JsonElement? Default { get; init; }

    public Variable ToVariable() => new(Key, Type, Name, Required, DefaultValue ?? Default);
}

/// <summary>What is sent by one channel.</summary>
public sealed class ChannelEntry
{
    /// <summary>The channel's type.</summary>
    /// <example>in_app</example>
    public required ChannelType ChannelType { get; init; }

    /// <summary>The id or slug of a channel of that type; left out, it is the only one that the app has.</summary>
    public string? ChannelId { get; init; }

    /// <summary>Any JSON object, up to 256 KiB. Its strings may hold tokens such as <c>{{name}}</c> or <c>{{ name | default: "there" }}</c>.</summary>
    public required JsonElement Content { get; init; }

    /// <summary>Tells the receiving program how to read the content, such as <c>data_template</c>; up to 100 characters.</summary>
    /// <example>data_template</example>
    public string? DataType { get; init; }

    /// <summary>In-app only: the hours after which a message of this version expires and is gone from feeds, 1 to 8760; 0: it never does.</summary>
    public int MessageRetentionHours { get; init; }
}

/// <summary>Which templates to list.</summary>
public sealed class TemplateQuery : PageQuery
{
    /// <summary>Only those with this status. Left out: drafts and approved ones.</summary>
    public TemplateStatus? Status { get; init; }

    /// <summary>Only those with this text in their name or id, whatever the case.</summary>
    public string? Search { get; init; }

    /// <summary>Only those with these tags, separated by commas.</summary>
    /// <example>sale,spring</example>
    public string? Tags { get; init; }

    /// <summary>Whether one of the tags is enough.</summary>
    public TagMatch TagMatch { get; init; }

    /// <summary>Only those of this category: its name, exactly, or its id or slug.</summary>
    public string? TemplateCategory { get; init; }

    internal string[] TagList => Text.Listed(Tags);
}

/// <summary>How several tags select.</summary>
public enum TagMatch
{
    /// <summary>At least one of them.</summary>
    Any = 0,

    /// <summary>All of them.</summary>
    All = 1,
}
