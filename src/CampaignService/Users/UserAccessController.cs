using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Idempotency;
using CampaignService.Tenancy;
using FluentValidation;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Users;

/// <summary>What a person's own devices need: tokens to read the feed by, and where push messages go. A profile is not needed for either.</summary>
[ApiController]
[Route("api/users/{id}")]
[Tags("Users")]
[AllowScope]
public sealed class UserAccessController(CampaignsDb db, CurrentApp app, UserTokens tokens, TimeProvider clock, Cursors cursors) : ControllerBase
{
    /// <summary>Makes a token by which a device of this person reads their feed, without your keys. No body is needed.</summary>
    /// <remarks>
    /// Send it as `Authorization: Bearer …`, alone. It opens the feed routes, for this person and no other. It cannot be taken back but by
    /// erasing the person, which is in force within 5 s; so let it live no longer than a session.
    /// </remarks>
    [HttpPost("tokens")]
    [SealsItsAnswer]
    [ProducesResponseType<One<TokenView>>(201)]
    public IActionResult CreateToken([UserId] string id, [FromBody(EmptyBodyBehavior = EmptyBodyBehavior.Allow)] CreateToken? body)
    {
        var (token, expiresAt) = tokens.Issue(new TokenHolder(new Person(app.No, id), app.Id), TimeSpan.FromSeconds((body ?? new()).ExpiresInSeconds));
        return StatusCode(201, new One<TokenView>(new TokenView(token, expiresAt)));
    }

    /// <summary>Registers a device, or changes it. The same token registered again is the same device, whoever had it before.</summary>
    /// <response code="200">The person had that device already.</response>
    /// <response code="201">It is new.</response>
    [HttpPost("devices")]
    [ProducesResponseType<One<DeviceView>>(200)]
    [ProducesResponseType<One<DeviceView>>(201)]
    public async Task<IActionResult> RegisterDevice([UserId] string id, RegisterDevice body, CancellationToken ct)
    {
        var (owner, now, hash) = (new Person(app.No, id), clock.GetUtcNow(), Device.HashOf(body.Token));
        await using var transaction = await db.Database.BeginTransactionAsync(ct);
        var same = await Owned(owner).FirstOrDefaultAsync(d => body.DeviceId == null ? d.TokenHash == hash : d.DeviceId == body.DeviceId, ct);
        var device = same ?? Device.Create(owner, body.DeviceId ?? Ids.New(Ids.Device, now), now);
        // Somebody signed out and somebody else signed in.
        await db.Devices.Where(d => d.AppNo == app.No && d.TokenHash == hash && (d.UserId != id || d.DeviceId != device.DeviceId)).ExecuteDeleteAsync(ct);
        device.Register(body.Platform, body.Token, body.Name, now);
        if (same is null) db.Add(device);
        await db.SaveChangesAsync(ct);
        await transaction.CommitAsync(ct);
        return StatusCode(same is null ? 201 : 200, new One<DeviceView>(DeviceView.Of(device)));
    }

    /// <summary>Lists the devices of this person in order of id, without their tokens.</summary>
    /// <response code="404">`ERR_NOT_FOUND`: the person has neither a profile nor a device.</response>
    [HttpGet("devices")]
    public async Task<Page<DeviceView>> ListDevices([UserId] string id, [FromQuery] PageQuery query, CancellationToken ct)
    {
        var list = $"devices:{app.No}:{id}";
        var after = cursors.Decode(list, query.Cursor);
        var rows = await Owned(new Person(app.No, id)).AsNoTracking().Where(d => after == null || string.Compare(d.DeviceId, after) > 0)
            .OrderBy(d => d.DeviceId).Take(query.Limit + 1).ToListAsync(ct);
        if (rows.Count == 0 && after is null && !await db.Users.AnyAsync(u => u.AppNo == app.No && u.Id == id, ct)) throw new ApiException(Errors.NotFound("user", id));
        return Page.Of(rows, query.Limit, DeviceView.Of, d => cursors.Encode(list, d.DeviceId));
    }

    /// <summary>Forgets a device.</summary>
    [HttpDelete("devices/{deviceId}")]
    [ProducesResponseType(204)]
    public async Task<IActionResult> DeleteDevice([UserId] string id, string deviceId, CancellationToken ct)
    {
        if (await Owned(new Person(app.No, id)).Where(d => d.DeviceId == deviceId).ExecuteDeleteAsync(ct) == 0) throw new ApiException(Errors.NotFound("device", deviceId));
        return NoContent();
    }

    private IQueryable<Device> Owned(Person owner) => db.Devices.Where(d => d.AppNo == owner.AppNo && d.UserId == owner.UserId);
}

/// <summary>How long a token is to live.</summary>
public sealed class CreateToken
{
    /// <summary>Seconds until the token expires: 60 (a minute) to 2592000 (30 days).</summary>
    /// <example>3600</example>
    public int ExpiresInSeconds { get; init; } = 3600;

    public sealed class Validator : AbstractValidator<CreateToken>
    {
        public Validator() => RuleFor(b => b.ExpiresInSeconds).InclusiveBetween(UserTokens.MinSeconds, UserTokens.MaxSeconds)
            .WithMessage($"must be a whole number from {UserTokens.MinSeconds} to {UserTokens.MaxSeconds}");
    }
}

/// <summary>A token for a person's own device.</summary>
/// <param name="Token">Goes behind <c>Authorization: Bearer</c>. It is shown this once.</param>
/// <param name="ExpiresAt">From then on it is refused.</param>
public sealed record TokenView(string Token, DateTimeOffset ExpiresAt);

/// <summary>A device to register.</summary>
public sealed class RegisterDevice
{
    /// <summary>The app's own id of the device: letters, digits, dots, dashes or underscores. Made up when left out.</summary>
    /// <example>ann-phone</example>
    public string? DeviceId { get; init; }

    /// <summary>Whose push service it uses.</summary>
    public required DevicePlatform Platform { get; init; }

    /// <summary>What the push service knows it by, 1 to 4,096 characters.</summary>
    /// <example>fcm-registration-token</example>
    public required string Token { get; init; }

    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>Ann's phone</example>
    public string? Name { get; init; }

    public sealed class Validator : AbstractValidator<RegisterDevice>
    {
        public Validator()
        {
            RuleFor(b => b.DeviceId).Must(d => d is null || Text.SlugForm().IsMatch(d)).WithMessage("must have 1 to 200 letters, digits, dots, dashes or underscores, and begin with a letter or digit");
            RuleFor(b => b.Platform).IsInEnum().WithMessage("must be one of ios, android, web");
            RuleFor(b => b.Token).Must(t => t is null || Text.Length(t) is >= 1 and <= 4096).WithMessage("must have 1 to 4,096 characters");
            RuleFor(b => b.Name).Name();
        }
    }
}

/// <summary>A device of a person.</summary>
/// <param name="DeviceId">Its id.</param>
/// <param name="Platform">Whose push service it uses.</param>
/// <param name="Name">For people.</param>
/// <param name="TokenEnd">The last four characters of its token, to tell devices apart; the token itself is never given out.</param>
/// <param name="CreatedAt">When it was first registered.</param>
/// <param name="UpdatedAt">When it was last registered.</param>
public sealed record DeviceView(string DeviceId, DevicePlatform Platform, string? Name, string TokenEnd, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt)
{
    // Of a short one that would be too much.
    public static DeviceView Of(Device d) => new(d.DeviceId, d.Platform, d.Name, d.Token.Length >= 12 ? d.Token[^4..] : "", d.CreatedAt, d.UpdatedAt);
}
