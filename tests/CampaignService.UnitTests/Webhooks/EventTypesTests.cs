using CampaignService.Webhooks;

namespace CampaignService.UnitTests.Webhooks;

public class EventTypesTests
{
    [Theory]
    [InlineData("*", true)]
    [InlineData("campaign.*", true)]
    [InlineData("feed_item.*", true)]
    [InlineData("campaign.completed", true)]
    [InlineData("notification.created", true)]
    [InlineData("campaign", false)]
    [InlineData("campaign.", false)]
    [InlineData("campaign.*.x", false)]
    [InlineData("*.completed", false)]
    [InlineData("Campaign.Completed", false)]
    [InlineData("campaign.unheard", false)]
    [InlineData("webhook.test", false)]
    [InlineData("", false)]
    public void A_pattern_is_a_name_a_group_or_all(string pattern, bool isOne) => Assert.Equal(isOne, EventTypes.IsPattern(pattern));

    [Fact]
    public void Every_type_but_the_one_that_stands_for_two_has_a_name_of_its_own()
    {
        EventType[] types = [.. Enum.GetValues<EventType>().Where(t => t != EventType.NotificationSent)];
        Assert.Equal(types.Length, types.Select(t => t.Wire()).Distinct().Count());
    }

    [Fact]
    public void Who_chooses_a_group_gets_it_and_nothing_else() => Assert.Equal(
        ["feed_item.delivered", "feed_item.engaged", "feed_item.read"], EventTypes.ChosenBy(["feed_item.*"]).Select(t => ((EventType)t).Wire()).Order(StringComparer.Ordinal));

    [Fact]
    public void The_pairs_for_SQL_say_the_same_as_the_choice()
    {
        var (types, patterns) = EventTypes.Matches;
        foreach (var pattern in patterns.Distinct()) Assert.Equal(EventTypes.ChosenBy([pattern]).Where(t => t != (short)EventType.WebhookTest).Order(), types.Where((_, i) => patterns[i] == pattern).Order());
    }
}
