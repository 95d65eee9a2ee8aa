using CampaignService.Common;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace CampaignService.Campaigns;

/// <summary>The two parts of an upload, in whichever order they came. The file is spooled to disk: the body is never held in memory.</summary>
public sealed class UploadForm : IAsyncDisposable
{
    private const int MaxFieldBytes = 1024, PartOverhead = 64;

    private UploadForm(string campaignId, Stream file) => (CampaignId, File) = (campaignId, file);

    public string CampaignId { get; }

    /// <summary>The file, at its beginning.</summary>
    public Stream File { get; }

    public ValueTask DisposeAsync() => File.DisposeAsync();

    /// <exception cref="ApiException">415: no form. 413: too large. 400: a part is missing or given twice, or the form is broken.</exception>
    public static async Task<UploadForm> ReadAsync(HttpRequest request, long maxBytes, CancellationToken ct)
    {
        var (campaignId, file) = ((string?)null, (FileStream?)null);
        var faults = new List<string>();
        try
        {
            var parts = new MultipartReader(BoundaryOf(request), request.Body);
            // Every part counts against the limit, also one that nobody asked for.
            for (var left = maxBytes + MaxFieldBytes; left >= 0 && await NextPartAsync(parts, ct) is { } part;)
            {
                var name = ContentDispositionHeaderValue.TryParse(part.ContentDisposition, out var disposition) ? HeaderUtilities.RemoveQuotes(disposition.Name).Value : null;
                if (name == "file" && file is null) left -= await CopyAsync(part.Body, file = Spool.Open(), Math.Min(left, maxBytes), ct);
                else if (name == "campaignId" && campaignId is null) campaignId = await ReadFieldAsync(part.Body, ct);
                else if (name is "file" or "campaignId") throw new ApiException(Errors.BadRequest($"{name}: is given twice"));
                else left -= PartOverhead + await CopyAsync(part.Body, Stream.Null, left, ct);
            }
            if (file is null) faults.Add("file: is missing; send the CSV file as the part named file");
            if (string.IsNullOrWhiteSpace(campaignId)) faults.Add("campaignId: is missing; send the campaign's id as the part named campaignId");
            if (faults.Count > 0) throw new ApiException(Errors.BadRequest(faults));
            file!.Position = 0;
            return new UploadForm(campaignId!.Trim(), file);
        }
        catch
        {
            if (file is not null) await file.DisposeAsync();
            throw;
        }
    }

    private static Task<MultipartSection?> NextPartAsync(MultipartReader parts, CancellationToken ct) => ReadingAsync(() => parts.ReadNextSectionAsync(ct), ct);

    /// <summary>A fault of the form is the caller's; one of the spool, such as a full disk, is ours.</summary>
    private static async Task<T> ReadingAsync<T>(Func<Task<T>> read, CancellationToken ct)
    {
        try
        {
            return await read();
        }
        catch (Exception e) when (e is InvalidDataException or IOException and not BadHttpRequestException && !ct.IsCancellationRequested)
        {
            throw new ApiException(Errors.BadRequest($"body: is not a whole multipart form ({e.Message.TrimEnd(' ', '.')})"));
        }
    }

    private static string BoundaryOf(HttpRequest request)
    {
        if (MediaTypeHeaderValue.TryParse(request.ContentType, out var type) && type.MediaType.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase)
            && HeaderUtilities.RemoveQuotes(type.Boundary).Value is { Length: > 0 and <= 200 } boundary)
        {
            return boundary;
        }
        throw new ApiException(Errors.UnsupportedMediaType("multipart/form-data with the parts file and campaignId"));
    }

    private static async Task<string> ReadFieldAsync(Stream part, CancellationToken ct)
    {
        using var value = new MemoryStream();
        await CopyAsync(part, value, MaxFieldBytes, ct);
        return System.Text.Encoding.UTF8.GetString(value.GetBuffer(), 0, (int)value.Length);
    }

    /// <returns>How many bytes there were.</returns>
    private static async Task<long> CopyAsync(Stream from, Stream to, long maxBytes, CancellationToken ct)
    {
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            long total = 0;
            for (int n; (n = await ReadingAsync(() => from.ReadAsync(buffer, ct).AsTask(), ct)) > 0;)
            {
                if ((total += n) > maxBytes) throw new ApiException(Errors.TooLarge("The upload, or a part of it,", maxBytes));
                await to.WriteAsync(buffer.AsMemory(0, n), ct);
            }
            return total;
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
