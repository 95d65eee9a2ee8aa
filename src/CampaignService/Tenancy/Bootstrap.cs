using CampaignService.Common;
using CampaignService.Data;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Tenancy;

/// <summary>Makes the first app and key at start, from <c>Bootstrap__AppId</c> and <c>Bootstrap__ApiKey</c>.</summary>
public sealed class Bootstrap(CampaignsDb db, TimeProvider clock, IConfiguration configuration, ILogger<Bootstrap> log)
{
    /// <param name="demo">With the embedded database in Development, app <c>demo</c> with key <c>demo-key</c> is made when nothing else is asked for.</param>
    public async Task RunAsync(bool demo, CancellationToken ct)
    {
        var (appId, key) = (configuration["Bootstrap:AppId"], configuration["Bootstrap:ApiKey"]);
        if (demo && string.IsNullOrEmpty(appId) && string.IsNullOrEmpty(key)) (appId, key) = ("demo", "demo-key");
        if (string.IsNullOrEmpty(appId) != string.IsNullOrEmpty(key)) throw new StartException("Set both Bootstrap__AppId and Bootstrap__ApiKey, or neither.");
        if (string.IsNullOrEmpty(appId) || string.IsNullOrEmpty(key))
        {
            if (!await db.Apps.AnyAsync(ct))
            {
                log.LogWarning("There is no app yet, so nobody can call the API. Set Bootstrap__AppId and Bootstrap__ApiKey, or set Operator__Key and POST /api/apps");
            }
            return;
        }
        if (!Text.SlugForm().IsMatch(appId)) throw new StartException("Bootstrap__AppId must have letters, digits, dots, dashes or underscores only.");
        await EnsureAsync(appId, key, ct);
    }

    private async Task EnsureAsync(string appId, string key, CancellationToken ct)
    {
        var hash = ApiKey.HashOf(key);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var app = await db.Apps.FirstOrDefaultAsync(a => a.Id == appId, ct);
                if (app is null)
                {
                    db.Add(app = App.Create(appId, appId, clock.GetUtcNow()));
                    await db.SaveChangesAsync(ct);
                    log.LogInformation("Made the app {AppId}", appId);
                }
                if (await db.ApiKeys.AnyAsync(k => k.AppNo == app.No && k.Hash == hash, ct)) return;
                db.Add(ApiKey.Of(app, "bootstrap", [Scopes.Full], key, clock.GetUtcNow()));
                await db.SaveChangesAsync(ct);
                return;
            }
            catch (DbUpdateException) when (attempt < 3)
            {
                // Another process starting at the same moment made the app, or then the key, first.
                db.ChangeTracker.Clear();
            }
        }
    }
}
