using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using FluentValidation;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace CampaignService.Channels;

/// <summary>The channels of an app.</summary>
[ApiController]
[Route("api/channels")]
[Tags("Channels")]
[AllowScope]
public sealed class ChannelsController(
    CampaignsDb db, CurrentApp app, SecretBox box, IOptions<ExternalSettings> external, TimeProvider clock, ContentChanges changes, Cursors cursors) : ControllerBase
{
    /// <summary>Makes a channel.</summary>
    /// <response code="409">`ERR_CONFLICT`: the app has a channel with that `channelId`.</response>
    [HttpPost]
    [ProducesResponseType<One<ChannelView>>(201)]
    public async Task<IActionResult> Create(CreateChannel body, CancellationToken ct)
    {
        var channel = Channel.Create(app.No, body.Name, body.Type, body.ChannelId, body.Enabled, clock.GetUtcNow());
        await ConfigureAsync(channel, body.Settings, ct);
        if (await db.Channels.AnyAsync(c => c.AppNo == app.No && c.ChannelId == channel.ChannelId, ct))
        {
            throw new ApiException(Errors.Conflict($"This app has a channel '{channel.ChannelId}' already. Give another name or channelId."));
        }
        db.Add(channel);
        await db.SaveChangesAsync(ct);
        return Created($"/api/channels/{channel.Id}", new One<ChannelView>(ChannelView.Of(channel)));
    }

    /// <summary>Lists the channels, newest first.</summary>
    [HttpGet]
    public async Task<Page<ChannelView>> List([FromQuery] ChannelQuery query, CancellationToken ct)
    {
        var list = $"channels:{app.No}";
        var before = cursors.Decode(list, query.Cursor);
        var rows = db.Channels.AsNoTracking().Where(c => c.AppNo == app.No && (before == null || string.Compare(c.Id, before) < 0));
        if (query.Type is { } type) rows = rows.Where(c => c.Type == type);
        if (query.Enabled is { } enabled) rows = rows.Where(c => c.Enabled == enabled);
        var page = await rows.Containing(query.Search, c => c.Name, c => c.ChannelId, c => c.Id).OrderByDescending(c => c.Id).Take(query.Limit + 1).ToListAsync(ct);
        return Page.Of(page, query.Limit, ChannelView.Of, c => cursors.Encode(list, c.Id));
    }

    /// <summary>One channel, by id or `channelId`.</summary>
    [HttpGet("{id}")]
    public async Task<One<ChannelView>> Get(string id, CancellationToken ct) => new(ChannelView.Of(await FindAsync(id, ct)));

    /// <summary>Changes the members given and leaves the others. `type` and `channelId` cannot be changed.</summary>
    [HttpPut("{id}")]
    public async Task<One<ChannelView>> Edit(string id, EditChannel body, CancellationToken ct)
    {
        var channel = await FindAsync(id, ct);
        channel.Edit(body.Name, body.Enabled, clock.GetUtcNow());
        await ConfigureAsync(channel, body.Settings, ct);
        await db.SaveChangesAsync(ct);
        changes.Made(app.No);
        return new One<ChannelView>(ChannelView.Of(channel));
    }

    private async Task ConfigureAsync(Channel channel, WebhookChannelSettings? settings, CancellationToken ct)
    {
        if (settings is null) return;
        channel.Configure(settings, box, clock.GetUtcNow());
        // Every connection looks the name up and checks again; this is to say so today.
        var fault = settings.Url is { } url ? await OutboundAddress.FaultInNameAsync(url, external.Value.AllowPrivateNetworks, ct) : null;
        if (fault is not null) throw new ApiException(Errors.BadRequest($"settings.url: {fault}"));
    }

    private async Task<Channel> FindAsync(string id, CancellationToken ct) =>
        await db.Channels.FirstOrDefaultAsync(c => c.AppNo == app.No && (c.Id == id || c.ChannelId == id), ct)
        ?? throw new ApiException(Errors.NotFound("channel", id));
}

/// <summary>Which channels to list.</summary>
public sealed class ChannelQuery : PageQuery
{
    /// <summary>Only those with this text in their name or id, whatever the case.</summary>
    public string? Search { get; init; }

    /// <summary>Only those of this type.</summary>
    public ChannelType? Type { get; init; }

    /// <summary>Only those that are enabled, or only those that are not.</summary>
    public bool? Enabled { get; init; }
}

/// <summary>A new channel.</summary>
public sealed class CreateChannel
{
    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>App inbox</example>
    public required string Name { get; init; }

    /// <summary>What the channel hands messages to. This version sends by <c>in_app</c> and <c>webhook</c>.</summary>
    /// <example>in_app</example>
    public required ChannelType Type { get; init; }

    /// <summary>A readable id, unique in the app and never changed; made from the name when left out.</summary>
    /// <example>inbox</example>
    public string? ChannelId { get; init; }

    /// <summary>A channel that is not enabled sends nothing; what it should have sent is reported as skipped.</summary>
    public bool Enabled { get; init; } = true;

    /// <summary>For the type <c>webhook</c>, of which `url` is required; <c>in_app</c> takes none.</summary>
    public WebhookChannelSettings? Settings { get; init; }

    public sealed class Validator : AbstractValidator<CreateChannel>
    {
        public Validator(IOptions<ExternalSettings> external)
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.ChannelId).Slug(Ids.Channel);
            RuleFor(b => b.Type).Must(t => t is ChannelType.InApp or ChannelType.Webhook or 0).WithMessage("only in_app and webhook can be sent by this version");
            RuleFor(b => b.Settings).Null().When(b => b.Type == ChannelType.InApp).WithMessage("an in_app channel takes none");
            RuleFor(b => b.Settings).Must(s => s?.Url is not null).When(b => b.Type == ChannelType.Webhook).WithMessage("is required").OverridePropertyName("settings.url");
            RuleFor(b => b.Settings).Settings(external.Value);
        }
    }
}

/// <summary>A change to a channel.</summary>
public sealed class EditChannel
{
    /// <summary>For people, 1 to 200 characters.</summary>
    public string? Name { get; init; }

    /// <summary>Whether it sends.</summary>
    public bool? Enabled { get; init; }

    /// <summary>Settings of a <c>webhook</c>, in force for what is being sent within a second. Members left out stay as they are.</summary>
    public WebhookChannelSettings? Settings { get; init; }

    public sealed class Validator : AbstractValidator<EditChannel>
    {
        public Validator(IOptions<ExternalSettings> external)
        {
            RuleFor(b => b.Name).Name();
            RuleFor(b => b.Settings).Settings(external.Value);
        }
    }
}

internal static class ChannelChecks
{
    public static void Settings<T>(this IRuleBuilderInitial<T, WebhookChannelSettings?> rule, ExternalSettings external) => rule.Custom((settings, context) =>
    {
        foreach (var (member, fault) in settings?.Faults(external.AllowPrivateNetworks) ?? []) context.AddFailure($"settings.{member}", fault);
    });
}

/// <summary>A channel.</summary>
/// <param name="Id">Its id.</param>
/// <param name="ChannelId">Its readable id, taken wherever the id is.</param>
/// <param name="Name">For people.</param>
/// <param name="Type">What it hands messages to.</param>
/// <param name="Enabled">Whether it sends.</param>
/// <param name="Settings">Of a <c>webhook</c>; secrets are never told.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="UpdatedAt">When it was last changed.</param>
public sealed record ChannelView(
    string Id, string ChannelId, string Name, ChannelType Type, bool Enabled, WebhookChannelView? Settings, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt)
{
    public static ChannelView Of(Channel c) => new(c.Id, c.ChannelId, c.Name, c.Type, c.Enabled, WebhookChannelView.Of(c.Settings), c.CreatedAt, c.UpdatedAt);
}
