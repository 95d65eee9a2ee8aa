using System.Globalization;
using System.Runtime.InteropServices;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Tenancy;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.EntityFrameworkCore;

namespace CampaignService.Idempotency;

/// <summary>The action stores its answer with its work, in one transaction, and takes the key by that.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class StoresItsAnswerAttribute : Attribute;

/// <summary>The answer holds a secret: it is kept sealed, and opened for a repetition.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SealsItsAnswerAttribute : Attribute;

/// <summary>A key is not looked at: the body is too large to be kept and compared, and doing it twice does no harm.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TakesNoKeyAttribute : Attribute;

/// <summary>
/// Answers a POST with an <c>Idempotency-Key</c> once, and its repetitions with that answer. Stands behind the checks of who calls, so that
/// their refusals are not kept. Uploads have no key: their bodies are too large to be compared, and repeating them adds nobody twice.
/// </summary>
public sealed class IdempotencyMiddleware(RequestDelegate next, IdempotencyKeys keys, SecretBox box, ILogger<IdempotencyMiddleware> log)
{
    /// <summary>Whose keys those of the operator are, who belongs to no app: apps are numbered from 1.</summary>
    private const int Operators = 0;

    public Task InvokeAsync(HttpContext http)
    {
        if (!HttpMethods.IsPost(http.Request.Method)) return next(http);
        if (!http.Request.Headers.ContainsKey(IdempotentRequest.Header) || http.GetEndpoint()?.Metadata.GetMetadata<TakesNoKeyAttribute>() is not null) return next(http);
        return AppNoOf(http) is { } appNo ? AnswerOnceAsync(http, appNo) : next(http);
    }

    private async Task AnswerOnceAsync(HttpContext http, int appNo)
    {
        var holder = http.User.FindFirst(ApiKeyAuthentication.UserClaim)?.Value;
        var body = await BufferAsync(http);
        var request = IdempotentRequest.Of(http, appNo, holder, holder ?? PersonOf(http), body.Span);
        if (http.GetEndpoint()?.Metadata.GetMetadata<StoresItsAnswerAttribute>() is not null)
        {
            await LetItStoreAsync(http, request);
            return;
        }
        var isSealed = http.GetEndpoint()?.Metadata.GetMetadata<SealsItsAnswerAttribute>() is not null;
        var (token, before) = await keys.TakeAsync(request, http.RequestAborted);
        if (before is not null)
        {
            await (isSealed ? before.Opened(box, request) : before).WriteAsync(http, replayed: true);
            return;
        }
        http.Features.Set(new TakenKey(request, token));
        // A change of one row would otherwise go without a transaction, and pass by the fence.
        http.RequestServices.GetRequiredService<CampaignsDb>().Database.AutoTransactionBehavior = AutoTransactionBehavior.Always;
        KeptAnswer answer;
        try
        {
            answer = await CaptureAsync(http, () => next(http));
        }
        catch
        {
            // A fault, or a race that was lost in the database. If its work was committed all the same, the key stays, and says so.
            await WithoutFailingAsync(() => keys.ReleaseAsync(request, token, CancellationToken.None));
            throw;
        }
        // The caller may have gone; the answer is kept for when they come back. If that fails the key says that it was done.
        await WithoutFailingAsync(() => KeptAnswer.IsKept(answer.Status)
            ? keys.AnswerAsync(request, token, isSealed ? answer.Sealed(box, request) : answer, CancellationToken.None)
            : keys.ReleaseAsync(request, token, CancellationToken.None));
        await answer.WriteAsync(http, replayed: false);
    }

    /// <summary>Only a refusal is left to be kept here, unless it answers a repetition of what was done.</summary>
    private async Task LetItStoreAsync(HttpContext http, IdempotentRequest request)
    {
        http.Features.Set(request);
        try
        {
            await next(http);
        }
        catch (ApiException e) when (KeptAnswer.IsKept(e.Error.Status) && !e.Error.IsAboutKey)
        {
            var refusal = await CaptureAsync(http, () => Problem.WriteAsync(http, e.Error));
            var (answer, replayed) = await keys.SettleAsync(request, refusal, http.RequestAborted);
            await answer.WriteAsync(http, replayed);
        }
    }

    private static async Task<KeptAnswer> CaptureAsync(HttpContext http, Func<Task> answer)
    {
        var body = http.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        using var captured = new MemoryStream();
        http.Features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(captured));
        try
        {
            try
            {
                await answer();
            }
            catch (ApiException e) when (e.Error.Status < 500)
            {
                await Problem.WriteAsync(http, e.Error);
            }
            await http.Response.BodyWriter.FlushAsync(CancellationToken.None);
        }
        finally
        {
            http.Features.Set(body);
        }
        return new KeptAnswer(http.Response.StatusCode, captured.ToArray(), http.Response.Headers.Location);
    }

    private static int? AppNoOf(HttpContext http) => http.User.FindFirst(ApiKeyAuthentication.AppNoClaim) is { } app ? int.Parse(app.Value, CultureInfo.InvariantCulture)
        : http.User.Identity?.AuthenticationType == OperatorAuthentication.SchemeName ? Operators : null;

    /// <summary>Under <c>/api/users</c> whom it is about, whose answer may be sealed and must be found when they are erased; else on whose behalf it is made.</summary>
    private static string? PersonOf(HttpContext http) =>
        (http.Request.Path.StartsWithSegments("/api/users", StringComparison.OrdinalIgnoreCase) ? Text.TrimToNull(http.GetRouteValue("id") as string) : null)
        ?? Text.TrimToNull(http.Request.Headers["onBehalfOf"]);

    private static async Task<ReadOnlyMemory<byte>> BufferAsync(HttpContext http)
    {
        var bytes = await JsonBodyFormatter.ReadAllAsync(http);
        http.Request.Body = MemoryMarshal.TryGetArray(bytes, out var array) ? new MemoryStream(array.Array!, array.Offset, array.Count, writable: false) : new MemoryStream(bytes.ToArray());
        return bytes;
    }

    private async Task WithoutFailingAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e)
        {
            log.LogWarning(e, "The answer to a request with an Idempotency-Key could not be kept; its repetition is told so, or done anew when nothing was done");
        }
    }
}
