using System.Net;
using CampaignService.IntegrationTests.Support;

namespace CampaignService.IntegrationTests.Campaigns;

public sealed class CampaignTests(TestService service) : IClassFixture<TestService>
{
    private Api Api => service.Api;

    [Fact]
    public async Task A_new_campaign_is_a_draft_with_every_field_of_the_contract()
    {
        var template = await Api.NewTemplateAsync();
        var made = (await Api.PostAsync("/api/campaigns", new { name = " Spring ", description = "d", templateId = template, variables = new { city = "Bern" }, tag = "sale", senderId = "boss" }))
            .ShouldBe(HttpStatusCode.Created).Data;
        var campaign = await Api.CampaignAsync(made.GetProperty("id").GetString()!);
        Assert.Equal(made.GetRawText(), campaign.GetRawText());
        Assert.Equal(
            "id,name,description,templateId,templateVersion,status,statusReason,deliveryMode,tag,variables,senderId,ratePerSecond,scheduledAt,scheduleZone,stopAt,startedAt,completedAt,pausedAt,totals,receipts,progress,secondsLeft,createdAt,updatedAt",
            string.Join(',', campaign.EnumerateObject().Select(m => m.Name)));
        Assert.Equal(("Spring", "draft", "batch", "Bern"), (campaign.GetProperty("name").GetString(), campaign.GetProperty("status").GetString(),
            campaign.GetProperty("deliveryMode").GetString(), campaign.GetProperty("variables").GetProperty("city").GetString()));
        Assert.True(campaign.GetProperty("id").GetString()!.Length >= 16);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", campaign.GetProperty("createdAt").GetString());
    }

    [Fact]
    public async Task Everything_wrong_with_a_new_campaign_is_said_at_once()
    {
        var refused = await Api.PostAsync("/api/campaigns", """{"name":7,"templateId":null,"tag":"x","deliveryMode":"fast","variables":[],"templateVersion":"1","description":{}}""");
        refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        Assert.Equal(["deliveryMode", "description", "name", "templateId", "templateVersion", "variables"], refused.Details.Select(d => d.Split(':')[0]).Order());
        var long_ = await Api.PostAsync("/api/campaigns", new { name = new string('n', 201), templateId = "t", tag = new string('t', 101), senderId = new string('s', 256) });
        Assert.Equal(["name", "senderId", "tag"], long_.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details.Select(d => d.Split(':')[0]).Order());
    }

    [Fact]
    public async Task A_name_may_have_200_characters_even_of_emoji()
    {
        var template = await Api.NewTemplateAsync();
        var name = string.Concat(Enumerable.Repeat("🎉", 200));
        Assert.Equal(name, (await Api.PostAsync("/api/campaigns", new { name, templateId = template })).ShouldBe(HttpStatusCode.Created).Data.GetProperty("name").GetString());
    }

    [Fact]
    public async Task An_unknown_template_or_version_is_not_found_and_a_variable_outside_the_schema_is_refused()
    {
        (await Api.PostAsync("/api/campaigns", new { name = "x", templateId = "nope" })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        var template = await Api.NewTemplateAsync();
        (await Api.PostAsync("/api/campaigns", new { name = "x", templateId = template, templateVersion = 9 })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        var refused = await Api.PostAsync("/api/campaigns", new { name = "x", templateId = template, variables = new { colour = "red" } });
        Assert.StartsWith("variables.colour:", Assert.Single(refused.ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST").Details), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_apps_template_is_not_found()
    {
        var template = await Api.NewTemplateAsync();
        var other = await service.NewAppAsync("other-template");
        (await other.PostAsync("/api/campaigns", new { name = "x", templateId = template })).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
    }

    [Fact]
    public async Task A_change_touches_the_members_given_and_null_empties()
    {
        var id = await Api.NewCampaignAsync();
        (await Api.PutAsync($"/api/campaigns/{id}", new { description = "more", tag = "t" })).ShouldBe(HttpStatusCode.OK);
        var changed = (await Api.PutAsync($"/api/campaigns/{id}", """{"name":"Renamed","tag":null}""")).ShouldBe(HttpStatusCode.OK).Data;
        Assert.Equal(("Renamed", "more", null), (changed.GetProperty("name").GetString(), changed.GetProperty("description").GetString(), changed.GetProperty("tag").GetString()));
    }

    [Fact]
    public async Task A_template_that_lacks_an_uploaded_column_is_a_conflict()
    {
        var id = await Api.NewCampaignAsync();
        await Api.UploadAsync(id, "user_id,name,city\nu1,Ann,Bern\n");
        var narrow = await Api.NewTemplateAsync(new { title = "{{name}}" }, [new { key = "name" }]);
        (await Api.PutAsync($"/api/campaigns/{id}", new { templateId = narrow })).ShouldRefuse(HttpStatusCode.Conflict, "ERR_CONFLICT");
        var wide = await Api.NewTemplateAsync(new { title = "{{name}} {{city}} {{more}}" }, [new { key = "more" }, new { key = "city" }, new { key = "name" }]);
        Assert.Equal(wide, (await Api.PutAsync($"/api/campaigns/{id}", new { templateId = wide })).ShouldBe(HttpStatusCode.OK).Data.GetProperty("templateId").GetString());
    }

    [Fact]
    public async Task The_version_is_pinned_when_the_campaign_is_made()
    {
        var template = await Api.NewTemplateAsync();
        var id = await Api.NewCampaignAsync(template);
        (await Api.PutAsync($"/api/templates/{template}", new { status = "approved", channels = new[] { new { channelType = "in_app", channelId = Api.Inbox, content = new { title = "new" } } } })).ShouldBe(HttpStatusCode.OK);
        Assert.Equal(1, (await Api.CampaignAsync(id)).GetProperty("templateVersion").GetInt32());
        Assert.Equal(2, (await Api.CampaignAsync(await Api.NewCampaignAsync(template))).GetProperty("templateVersion").GetInt32());
    }

    [Fact]
    public async Task A_campaign_of_a_draft_template_can_be_prepared_and_is_sent_only_once_that_is_approved()
    {
        var template = await Api.NewTemplateAsync(status: "draft");
        var id = await Api.NewCampaignAsync(template, new { name = "all" });
        await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u" } });
        (await Api.PostAsync($"/api/campaigns/{id}/send")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_TEMPLATE_NOT_APPROVED");
        Assert.Equal("draft", (await Api.CampaignAsync(id)).GetProperty("status").GetString());
        (await Api.PostAsync($"/api/templates/{template}/approve")).ShouldBe(HttpStatusCode.OK);
        (await Api.PostAsync($"/api/campaigns/{id}/send")).ShouldBe(HttpStatusCode.Accepted);
    }

    [Fact]
    public async Task Sending_to_nobody_or_through_no_enabled_channel_is_refused()
    {
        var id = await Api.NewCampaignAsync();
        (await Api.PostAsync($"/api/campaigns/{id}/send")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NO_RECIPIENTS");

        var channel = (await Api.PostAsync("/api/channels", new { name = $"Once {Guid.NewGuid():N}", type = "in_app" })).Data.GetProperty("channelId").GetString();
        var template = (await Api.PostAsync("/api/templates", new { name = "t", status = "approved", channels = new[] { new { channelType = "in_app", channelId = channel, content = new { a = 1 } } } })).Data.GetProperty("templateId").GetString();
        var closed = await Api.NewCampaignAsync(template);
        await Api.PostAsync($"/api/campaigns/{closed}/recipients", new { userIds = new[] { "u" } });
        await Api.PutAsync($"/api/channels/{channel}", new { enabled = false });
        (await Api.PostAsync($"/api/campaigns/{closed}/send")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_NO_ENABLED_CHANNEL");
    }

    [Theory]
    [InlineData("sending", "PUT", "")]
    [InlineData("sending", "DELETE", "")]
    [InlineData("sending", "POST", "/send")]
    [InlineData("sending", "POST", "/cancel")]
    [InlineData("sending", "POST", "/recipients")]
    [InlineData("completed", "PUT", "")]
    [InlineData("completed", "DELETE", "")]
    [InlineData("completed", "POST", "/send")]
    [InlineData("completed", "POST", "/cancel")]
    [InlineData("completed", "POST", "/recipients")]
    [InlineData("cancelled", "PUT", "")]
    [InlineData("cancelled", "DELETE", "")]
    [InlineData("cancelled", "POST", "/send")]
    [InlineData("cancelled", "POST", "/cancel")]
    [InlineData("cancelled", "POST", "/recipients")]
    public async Task What_is_for_drafts_is_refused_later_naming_the_state(string state, string method, string verb)
    {
        var id = await InStateAsync(state);
        object? body = verb == "/recipients" ? new { userIds = new[] { "late" } } : method == "PUT" ? new { name = "late" } : null;
        var refused = await Api.SendAsync(new HttpMethod(method), $"/api/campaigns/{id}{verb}", body);
        refused.ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
        Assert.Contains(state, refused.Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Contains("draft", refused.Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Equal(state, (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task An_upload_is_refused_once_sending()
    {
        var id = await InStateAsync("sending");
        (await Api.UploadAsync(id, "user_id\nlate\n")).ShouldRefuse(HttpStatusCode.Conflict, "ERR_INVALID_STATE");
    }

    [Fact]
    public async Task Of_two_sends_at_once_one_is_told_that_it_lost()
    {
        var id = await InStateAsync("draft");
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Api.PostAsync($"/api/campaigns/{id}/send")));
        Assert.Single(answers, a => a.Status == HttpStatusCode.Accepted);
        Assert.All(answers.Where(a => a.Status != HttpStatusCode.Accepted), a => Assert.Equal(HttpStatusCode.Conflict, a.Status));
        await service.DeliverAsync();
        Assert.Equal(1, (await Api.CampaignAsync(id)).GetProperty("totals").GetProperty("delivered").GetInt32());
    }

    [Fact]
    public async Task Send_and_cancel_at_once_end_in_one_legal_state()
    {
        for (var round = 0; round < 5; round++)
        {
            var id = await InStateAsync("draft");
            var (send, cancel) = (Api.PostAsync($"/api/campaigns/{id}/send"), Api.PostAsync($"/api/campaigns/{id}/cancel"));
            var answers = new[] { await send, await cancel };
            Assert.Single(answers, a => (int)a.Status < 300);
            var status = (await Api.CampaignAsync(id)).GetProperty("status").GetString();
            Assert.Equal((await send).Status == HttpStatusCode.Accepted ? "sending" : "cancelled", status);
            await service.DeliverAsync();
        }
    }

    [Fact]
    public async Task A_deleted_draft_leaves_nothing_behind()
    {
        var id = await InStateAsync("draft");
        var batch = await service.ScalarAsync<long>("SELECT batch_id FROM campaigns WHERE id = $1", id);
        (await Api.DeleteAsync($"/api/campaigns/{id}")).ShouldBe(HttpStatusCode.NoContent);
        (await Api.GetAsync($"/api/campaigns/{id}")).ShouldRefuse(HttpStatusCode.NotFound, "ERR_NOT_FOUND");
        Assert.Equal(0, await service.ScalarAsync<long>("SELECT (SELECT count(*) FROM recipients WHERE batch_id = $1) + (SELECT count(*) FROM batches WHERE id = $1)", batch));
    }

    [Theory]
    [InlineData("draft")]
    [InlineData("completed")]
    [InlineData("cancelled")]
    public async Task A_duplicate_is_a_new_draft_with_the_same_audience_and_content(string state)
    {
        var id = await InStateAsync(state);
        var copy = (await Api.PostAsync($"/api/campaigns/{id}/duplicate")).ShouldBe(HttpStatusCode.Created).Data;
        Assert.Equal(("draft", 1), (copy.GetProperty("status").GetString(), copy.GetProperty("totals").GetProperty("recipients").GetInt32()));
        var copyId = copy.GetProperty("id").GetString()!;
        Assert.Equal("Ann", (await Api.GetAsync($"/api/campaigns/{copyId}/recipients/u1")).Data.GetProperty("variables").GetProperty("name").GetString());
        (await Api.PostAsync($"/api/campaigns/{copyId}/send")).ShouldBe(HttpStatusCode.Accepted);
        await service.DeliverAsync();
        Assert.Equal("completed", (await Api.CampaignAsync(copyId)).GetProperty("status").GetString());
        Assert.Equal(state, (await Api.CampaignAsync(id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task The_list_is_filtered_and_paged_newest_first()
    {
        var template = await Api.NewTemplateAsync();
        var tag = $"tag-{Guid.NewGuid():N}";
        var ids = new List<string>();
        for (var i = 0; i < 5; i++) ids.Insert(0, (await Api.PostAsync("/api/campaigns", new { name = $"Péage {i} 100%_", templateId = template, tag })).Data.GetProperty("id").GetString()!);
        await Api.PostAsync($"/api/campaigns/{ids[4]}/cancel");

        var seen = new List<string>();
        for (string? cursor = null; ;)
        {
            var page = await Api.GetAsync($"/api/campaigns?tag={tag}&limit=2{(cursor is null ? "" : $"&cursor={cursor}")}");
            seen.AddRange(page.Data.EnumerateArray().Select(c => c.GetProperty("id").GetString()!));
            cursor = page.Json.GetProperty("meta").GetProperty("next").GetString();
            Assert.Equal(cursor is null ? 1 : 2, page.Json.GetProperty("meta").GetProperty("count").GetInt32());
            if (cursor is null) break;
        }
        Assert.Equal(ids, seen);
        Assert.Equal(4, (await Api.GetAsync($"/api/campaigns?tag={tag}&status=draft")).Data.GetArrayLength());
        Assert.Equal(5, (await Api.GetAsync($"/api/campaigns?tag={tag}&search=100%25_")).Data.GetArrayLength());
        Assert.Equal(1, (await Api.GetAsync($"/api/campaigns?search={ids[2][6..]}")).Data.GetArrayLength());
        Assert.Equal(0, (await Api.GetAsync($"/api/campaigns?tag={tag}&search=___x")).Data.GetArrayLength());
        (await Api.GetAsync("/api/campaigns?status=sent")).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
    }

    [Fact]
    public async Task An_audience_is_refused_rather_than_ignored()
    {
        (await Api.PostAsync("/api/campaigns", new { name = "x", templateId = "x", audience = new { allUsers = true } })).ShouldRefuse(HttpStatusCode.BadRequest, "ERR_BAD_REQUEST");
        (await Api.PostAsync($"/api/campaigns/{await InStateAsync("draft")}/send", "{}")).ShouldBe(HttpStatusCode.Accepted);
    }

    /// <summary>A campaign with one recipient, u1 called Ann, in this state.</summary>
    private async Task<string> InStateAsync(string state)
    {
        var id = await Api.NewCampaignAsync();
        (await Api.PostAsync($"/api/campaigns/{id}/recipients", new { userIds = new[] { "u1" }, userVariables = new { u1 = new { name = "Ann" } } })).ShouldBe(HttpStatusCode.Created);
        if (state == "cancelled") (await Api.PostAsync($"/api/campaigns/{id}/cancel")).ShouldBe(HttpStatusCode.OK);
        if (state is "sending" or "completed") (await Api.PostAsync($"/api/campaigns/{id}/send")).ShouldBe(HttpStatusCode.Accepted);
        if (state == "completed") await service.DeliverAsync();
        return id;
    }
}
