using System.Text.Json;
using CampaignService.Notifications;
using FluentValidation;
using FluentValidation.Results;
using FsCheck;
using FsCheck.Fluent;

namespace CampaignService.UnitTests.Notifications;

public class SendNotificationTests
{
    private static readonly Gen<string> AnyId = Gen.Elements("ann", "bob", " ann", "ann ", "", " ", "\u0001x", "\u00a0ann", new string('x', 255), new string('x', 256), null!);

    private static readonly Gen<Dictionary<string, JsonElement>> AnyValues = Gen.Elements<Dictionary<string, JsonElement>>([], new() { ["name"] = JsonSerializer.SerializeToElement("Ann") }, null!);

    private static readonly Gen<SendNotification> AnyBody =
        from template in Gen.Elements("order-shipped", "", " ", null!)
        from version in Gen.Elements<int?>(null, 1, 7, 0, -1)
        from tag in Gen.Elements(null!, "orders", new string('t', 100), new string('t', 101), string.Concat(Enumerable.Repeat("\U0001F600", 100)))
        from receivers in Gen.OneOf(AnyId.ListOf(), Gen.Elements("ann", "bob").NonEmptyListOf())
        from isWithout in Gen.Choose(0, 20)
        from named in Gen.Choose(0, 3)
        from others in Gen.Zip(AnyId.Where(id => id is not null), AnyValues).ListOf(2)
        from values in AnyValues
        let variables = receivers.Where(r => r is not null).Take(named).Select(r => (r, values)).Concat(named == 3 ? others : [])
        select new SendNotification
        {
            TemplateId = template,
            TemplateVersion = version,
            Tag = tag,
            Receivers = isWithout == 0 ? null! : [.. receivers],
            Variables = named == 0 ? null : variables.DistinctBy(v => v.Item1).ToDictionary(v => v.Item1, v => v.Item2),
        };

    /// <summary>Goes through the rules, whatever the body looks like.</summary>
    private sealed class Rules : SendNotification.Validator
    {
        protected override bool PreValidate(ValidationContext<SendNotification> context, ValidationResult result) => true;
    }

    [Fact]
    public void What_is_seen_to_be_right_at_once_is_right_by_the_rules() => Prop.ForAll(AnyBody.ToArbitrary(), body =>
    {
        var (told, ruled) = (new SendNotification.Validator().Validate(body).Errors, new Rules().Validate(body).Errors);
        return told.Select(e => $"{e.PropertyName}: {e.ErrorMessage}").SequenceEqual(ruled.Select(e => $"{e.PropertyName}: {e.ErrorMessage}"));
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000));
}
