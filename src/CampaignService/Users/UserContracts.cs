using System.Text.Json;
using System.Text.RegularExpressions;
using CampaignService.Common;
using FluentValidation;

namespace CampaignService.Users;

/// <summary>What an app says of a person. Members left out stay as they are; null clears one.</summary>
public class UserProfile
{
    private const int MaxAttributeBytes = 16 * 1024;

    /// <summary>For people, 1 to 200 characters.</summary>
    /// <example>Ann Example</example>
    public Optional<string?> Name { get; init; }

    /// <summary>A word to group people by, 1 to 100 characters.</summary>
    /// <example>customer</example>
    public Optional<string?> Role { get; init; }

    /// <summary>A mail address, no longer than 254 characters.</summary>
    /// <example>ann@example.com</example>
    public Optional<string?> Email { get; init; }

    /// <summary>A telephone number: digits with <c>+ - . ( )</c>, spaces and slashes, no longer than 40 characters.</summary>
    /// <example>+49 30 1234567</example>
    public Optional<string?> Phone { get; init; }

    /// <summary>A language tag such as <c>de</c> or <c>pt-BR</c>, no longer than 35 characters.</summary>
    /// <example>de</example>
    public Optional<string?> Language { get; init; }

    /// <summary>A time zone by its IANA name.</summary>
    /// <example>Europe/Berlin</example>
    public Optional<string?> Timezone { get; init; }

    /// <summary>The http or https address of a picture, no longer than 2,048 characters.</summary>
    /// <example>https://example.com/ann.png</example>
    public Optional<string?> Avatar { get; init; }

    /// <summary>A JSON object of the app's own, up to 16 KiB; it is replaced as a whole.</summary>
    public Optional<JsonElement?> Attributes { get; init; }

    /// <summary>What is wrong with the members given.</summary>
    internal virtual IEnumerable<(string Member, string Fault)> Faults()
    {
        if (Trimmed(Name) is { } name && Text.Length(name) is < 1 or > Text.MaxName) yield return ("name", $"must have 1 to {Text.MaxName} characters");
        if (Trimmed(Role) is { } role && Text.Length(role) is < 1 or > Text.MaxLabel) yield return ("role", $"must have 1 to {Text.MaxLabel} characters");
        if (Trimmed(Email) is { } email && (email.Length > 254 || !Forms.Email().IsMatch(email))) yield return ("email", "must be a mail address of at most 254 characters, such as ann@example.com");
        if (Trimmed(Phone) is { } phone && !Forms.Phone().IsMatch(phone)) yield return ("phone", "must be a telephone number of at most 40 characters, such as +49 30 1234567");
        if (Trimmed(Language) is { } language && (language.Length > 35 || !Forms.Language().IsMatch(language))) yield return ("language", "must be a language tag of at most 35 characters, such as de or pt-BR");
        if (Trimmed(Timezone) is { } zone && TimeZones.Find(zone) is null) yield return ("timezone", TimeZones.Expected);
        if (Trimmed(Avatar) is { } avatar && !IsWebAddress(avatar)) yield return ("avatar", "must be an http or https address of at most 2,048 characters");
        if (Attributes.Value is { } attributes && FaultIn(attributes) is { } fault) yield return ("attributes", fault);
    }

    private static string? Trimmed(Optional<string?> given) => given.Value?.Trim();

    private static bool IsWebAddress(string address) =>
        address.Length <= 2048 && Uri.TryCreate(address, UriKind.Absolute, out var uri) && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp);

    private static string? FaultIn(JsonElement attributes) =>
        attributes.ValueKind != JsonValueKind.Object ? "must be an object"
        : System.Text.Encoding.UTF8.GetByteCount(attributes.GetRawText()) > MaxAttributeBytes ? $"must have at most {MaxAttributeBytes:N0} bytes"
        : HasHugeNumber(attributes) ? "holds a number that cannot be stored" : null;

    /// <summary>A double has room for it: PostgreSQL would refuse 1e999999.</summary>
    private static bool HasHugeNumber(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().Any(member => HasHugeNumber(member.Value)),
        JsonValueKind.Array => element.EnumerateArray().Any(HasHugeNumber),
        JsonValueKind.Number => !element.TryGetDouble(out var number) || !double.IsFinite(number) || (number == 0 && Forms.NotZero().IsMatch(element.GetRawText())),
        _ => false,
    };
}

/// <summary>A person to make known, or what has changed about one who is.</summary>
public class UserEntry : UserProfile
{
    /// <summary>The app's own id of the person, 1 to 255 characters without surrounding white space.</summary>
    /// <example>ann</example>
    public string? Id { get; init; }

    internal string Key => Id!.Trim();

    internal override IEnumerable<(string Member, string Fault)> Faults()
    {
        if (Id is null) yield return ("id", "is required");
        else if (Text.UserIdFault(Id) is { } fault) yield return ("id", fault);
        foreach (var other in base.Faults()) yield return other;
    }
}

/// <summary>One person, or many in <c>users</c>.</summary>
public sealed class UpsertUsers : UserEntry
{
    public const int MaxUsers = 10_000;

    /// <summary>1 to 10,000 users, each id once. The members beside it are for one person, and are left out then.</summary>
    public IReadOnlyList<UserEntry>? Users { get; init; }

    public sealed class Validator : AbstractValidator<UpsertUsers>
    {
        public Validator() => RuleFor(b => b).Custom((body, context) =>
        {
            if (body.Users is not { } users)
            {
                foreach (var (member, fault) in body.Faults()) context.AddFailure(member, fault);
                return;
            }
            if (body.Id is not null) context.AddFailure("id", "stands beside users; give one or the other");
            if (users.Count is < 1 or > MaxUsers) context.AddFailure("users", $"must hold 1 to {MaxUsers:N0} users, this has {users.Count:N0}; send more in further calls");
            else AddFaults(users, context);
        });

        private static void AddFaults(IReadOnlyList<UserEntry> users, ValidationContext<UpsertUsers> context)
        {
            var known = new Dictionary<string, int>(users.Count);
            for (var i = 0; i < users.Count; i++)
            {
                if (users[i] is not { } user)
                {
                    context.AddFailure($"users[{i}]", "must be an object");
                    continue;
                }
                foreach (var (member, fault) in user.Faults()) context.AddFailure($"users[{i}].{member}", fault);
                // Which of two would hold for a member that only one gives? The caller knows, and says it in one.
                if (user.Id is not null && !known.TryAdd(user.Key, i)) context.AddFailure($"users[{i}].id", $"stands at users[{known[user.Key]}] already");
            }
        }
    }
}

/// <summary>A change to a person's profile.</summary>
public sealed class EditUser : UserProfile
{
    public sealed class Validator : AbstractValidator<EditUser>
    {
        public Validator() => RuleFor(b => b).Custom((body, context) =>
        {
            foreach (var (member, fault) in body.Faults()) context.AddFailure(member, fault);
        });
    }
}

/// <summary>Which users to list.</summary>
public sealed class UserQuery : PageQuery
{
    /// <summary>Only those with this text in their id or name, whatever the case.</summary>
    public string? Search { get; init; }

    /// <summary>Only those with this role.</summary>
    public string? Role { get; init; }

    /// <summary>Only those who are online, or only those who are not.</summary>
    public UserStatus? Status { get; init; }

    /// <summary>Only those made known at this time or later: RFC 3339 with an offset, or Unix seconds.</summary>
    /// <example>2026-03-01T09:00:00Z</example>
    [QueryTime]
    public DateTimeOffset? CreatedFrom { get; init; }

    /// <summary>Only those made known at this time or earlier: RFC 3339 with an offset, or Unix seconds.</summary>
    /// <example>2026-03-31T23:59:59Z</example>
    [QueryTime]
    public DateTimeOffset? CreatedTo { get; init; }
}

/// <summary>Whether a person is there.</summary>
public enum UserStatus
{
    /// <summary>Not seen for 60 s.</summary>
    Offline = 0,

    /// <summary>Their feed was called within the last 60 s, or a stream of it is open.</summary>
    Online = 1,
}

/// <summary>A person as the app described them.</summary>
/// <param name="Id">The app's own id.</param>
/// <param name="Name">For people.</param>
/// <param name="Role">A word to group people by.</param>
/// <param name="Email">Mail address.</param>
/// <param name="Phone">Telephone number.</param>
/// <param name="Language">Language tag.</param>
/// <param name="Timezone">IANA name of the time zone.</param>
/// <param name="Avatar">Address of a picture.</param>
/// <param name="Attributes">The app's own JSON object.</param>
/// <param name="Status">Whether they are there.</param>
/// <param name="LastSeenAt">When their feed was last called, to some 20 s.</param>
/// <param name="CreatedAt">When they were made known.</param>
/// <param name="UpdatedAt">When that was last changed.</param>
public sealed record UserView(
    string Id, string? Name, string? Role, string? Email, string? Phone, string? Language, string? Timezone, string? Avatar, RawJson? Attributes,
    UserStatus Status, DateTimeOffset? LastSeenAt, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt)
{
    public static UserView Of(AppUser u, DateTimeOffset now) => new(u.Id, u.Name, u.Role, u.Email, u.Phone, u.Language, u.Timezone, u.Avatar,
        u.Attributes is { } json ? new RawJson(System.Text.Encoding.UTF8.GetBytes(json)) : null,
        u.LastSeenAt > now - UserPresence.OnlineFor ? UserStatus.Online : UserStatus.Offline, u.LastSeenAt, u.CreatedAt, u.UpdatedAt);
}

/// <summary>What an upsert of many came to.</summary>
/// <param name="Created">Users who were not known before.</param>
/// <param name="Updated">Users who were.</param>
public sealed record UpsertedView(int Created, int Updated);

internal static partial class Forms
{
    [GeneratedRegex(@"^[^\s@]+@[^\s@]+\z")]
    public static partial Regex Email();

    [GeneratedRegex(@"^(?=.*\d)[\d+() ./-]{1,40}\z")]
    public static partial Regex Phone();

    [GeneratedRegex(@"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*\z")]
    public static partial Regex Language();

    [GeneratedRegex("^[^eE]*[1-9]")]
    public static partial Regex NotZero();
}
