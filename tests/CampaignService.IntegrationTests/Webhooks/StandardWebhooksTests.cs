using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Webhooks;

/// <summary>What we sign is verified by a library that we did not write, as our customers' servers do.</summary>
public sealed class StandardWebhooksTests(WebhookService service) : IClassFixture<WebhookService>
{
    [Fact]
    public async Task The_library_of_Standard_Webhooks_takes_our_signatures_and_refuses_what_was_changed()
    {
        await using var receiver = await Receiver.StartAsync();
        var webhook = await service.Api.NewWebhookAsync(receiver.Url(), "*");
        var campaign = (await service.Api.PostAsync("/api/campaigns", new { name = "Größe \"30\" 🎉", templateId = await service.Api.NewTemplateAsync() })).Data.Id();
        await service.Api.DoAsync(campaign, "cancel");
        var rotated = (await service.Api.PostAsync($"/api/webhooks/{webhook.Id()}/rotate-secret")).Data;
        await service.DispatchAsync();

        var came = Assert.Single(receiver.Received);
        Assert.Equal("Größe \"30\" 🎉", came.Json.GetProperty("data").GetProperty("name").GetString());
        Assert.Equal("", await VerifyAsync(webhook.Secret(), came));
        Assert.Equal("", await VerifyAsync(rotated.Secret(), came));
        Assert.Equal("No matching signature found", await VerifyAsync(webhook.Secret(), came with { Body = came.Body.Replace("30", "31", StringComparison.Ordinal) }));
        Assert.Equal("No matching signature found", await VerifyAsync(webhook.Secret(), came with { Id = came.Id + "0" }));
        Assert.Equal("No matching signature found", await VerifyAsync(CampaignService.Webhooks.WebhookSecret.Make(), came));
    }

    private static Task<string> VerifyAsync(string secret, ReceivedEvent came) => StandardWebhooks.VerifyAsync(secret, came.Id, came.Timestamp, came.Signature, came.Body);
}
