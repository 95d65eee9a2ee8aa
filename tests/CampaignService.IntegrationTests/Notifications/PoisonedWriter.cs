using System.Security.Claims;
using CampaignService.Idempotency;
using CampaignService.IntegrationTests.Support;
using CampaignService.Notifications;
using CampaignService.Templates;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace CampaignService.IntegrationTests.Notifications;

/// <summary>Puts a notification that no database takes among others, behind the checks that would have refused it.</summary>
internal sealed class PoisonedWriter(TestService service)
{
    public async Task RunAsync(string template)
    {
        var writer = service.Services.GetRequiredService<NotificationWriter>();
        var content = await TemplateAsync(template);
        var (bad, good) = (Of(content, "bad\0user"), Enumerable.Range(0, 20).Select(i => Of(content, $"good-{Guid.NewGuid():N}")).ToArray());

        var writes = good.Take(10).Append(bad).Concat(good.Skip(10)).Select(n => writer.WriteAsync(n, CancellationToken.None)).ToArray();

        await Assert.ThrowsAsync<PostgresException>(() => writes[10]);
        foreach (var write in writes.Where((_, i) => i != 10)) Assert.False((await write).Replayed);
        Assert.Equal(20, await service.ScalarAsync<long>("SELECT count(*) FROM feed_items WHERE user_id = ANY($1)", (object)good.Select(g => g.UserIds[0]).ToArray()));
    }

    public static PendingNotification Of(SendableTemplate content, string user, IdempotentRequest? request = null) =>
        new(content, null, [user], [[]], 0, request, id => System.Text.Encoding.UTF8.GetBytes($"{{\"id\":{id}}}"));

    public async Task<SendableTemplate> TemplateAsync(string template)
    {
        var no = await service.ScalarAsync<int>("SELECT no FROM apps WHERE id = 'demo'");
        var http = new HttpContextAccessor { HttpContext = new DefaultHttpContext { User = new ClaimsPrincipal(new ClaimsIdentity([new("app_no", $"{no}"), new("app_id", "demo")])) } };
        return await service.Services.GetRequiredService<SendableTemplates>().FindAsync(new CurrentApp(http), template, null, CancellationToken.None);
    }
}
