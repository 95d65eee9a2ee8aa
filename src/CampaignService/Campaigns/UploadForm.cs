using CampaignService.Common;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace CampaignService.Campaigns;

/// <summary>The two parts of an upload, in whichever order they came. The file is spooled to disk: the body is never held in memory.</summary>
public sealed class UploadForm : IAsyncDisposable
{
    private const int MaxFieldBytes = 1024;

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
            while (await parts.ReadNextSectionAsync(ct) is { } part)
            {
                var name = ContentDispositionHeaderValue.TryParse(part.ContentDisposition, out var disposition) ? HeaderUtilities.RemoveQuotes(disposition.Name).Value : null;
                if (name == "file" && file is null) await CopyAsync(part.Body, file = Spool(), maxBytes, "The file", ct);
                else if (name == "campaignId" && campaignId is null) campaignId = await ReadFieldAsync(part.Body, ct);
                else if (name is "file" or "campaignId") faults.Add($"{name}: is given twice");
            }
            if (file is null) faults.Add("file: is missing; send the CSV file as the part named file");
            if (string.IsNullOrWhiteSpace(campaignId)) faults.Add("campaignId: is missing; send the campaign's id as the part named campaignId");
            if (faults.Count > 0) throw new ApiException(Errors.BadRequest(faults));
            file!.Position = 0;
            return new UploadForm(campaignId!.Trim(), file);
        }
        catch (Exception e)
        {
            if (file is not null) await file.DisposeAsync();
            if (e is InvalidDataException or IOException and not BadHttpRequestException && !ct.IsCancellationRequested)
            {
                throw new ApiException(Errors.BadRequest($"body: is not a whole multipart form ({e.Message.TrimEnd('.')})"));
            }
            throw;
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

    /// <summary>A file that is gone when it is closed; where the system allows it, its name is gone at once, so that a kill -9 leaves nothing either.</summary>
    private static FileStream Spool()
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Options = FileOptions.DeleteOnClose | FileOptions.Asynchronous };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var file = new FileStream(Path.Combine(Path.GetTempPath(), $"campaigns-{Guid.NewGuid():N}.csv"), options);
        if (!OperatingSystem.IsWindows()) System.IO.File.Delete(file.Name);
        return file;
    }

    private static async Task<string> ReadFieldAsync(Stream part, CancellationToken ct)
    {
        using var value = new MemoryStream();
        await CopyAsync(part, value, MaxFieldBytes, "The part campaignId", ct);
        return System.Text.Encoding.UTF8.GetString(value.GetBuffer(), 0, (int)value.Length);
    }

    private static async Task CopyAsync(Stream from, Stream to, long maxBytes, string what, CancellationToken ct)
    {
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            long total = 0;
            for (int n; (n = await from.ReadAsync(buffer, ct)) > 0;)
            {
                if ((total += n) > maxBytes) throw new ApiException(Errors.TooLarge(what, maxBytes));
                await to.WriteAsync(buffer.AsMemory(0, n), ct);
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
