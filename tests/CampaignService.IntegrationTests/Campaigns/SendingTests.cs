using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Campaigns;

public sealed class SendingTests(TestService service) : IClassFixture<TestService>
{
    [Fact]
    public async Task A_new_campaign_is_a_draft_in_which_everything_is_pending()
    {
        var id = await service.Api.NewCampaignAsync();
        (await service.Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u1", "u2", " u1 " }, userVariables = new { u1 = new { name = "Ann" } } }))
            .ShouldBe(HttpStatusCode.Created);
        var campaign = await service.Api.CampaignAsync(id);
        Assert.Equal("draft", campaign.GetProperty("status").GetString());
        Assert.Equal(2, campaign.GetProperty("totals").GetProperty("pending").GetInt64());
    }
}
