using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using FluentValidation;
using Microsoft.AspNetCore.Mvc.Formatters;
using Microsoft.Net.Http.Headers;

namespace CampaignService.Common;

/// <summary>
/// Reads a JSON body into its contract and checks it, reporting all faults at once: wrong types, nulls, unstorable characters, and what
/// the contract's validator finds.
/// </summary>
public sealed class JsonBodyFormatter : TextInputFormatter
{
    /// <summary>The most bytes that a JSON body may have: 32 MiB.</summary>
    public const int MaxBytes = 32 << 20;

    /// <summary>Up to here a caller's word is taken for how long its body will be.</summary>
    private const int MostAtOnce = 64 * 1024;

    private static readonly ConcurrentDictionary<Type, Type> Validators = new();

    public JsonBodyFormatter()
    {
        SupportedMediaTypes.Add("application/json");
        SupportedMediaTypes.Add("application/*+json");
        SupportedEncodings.Add(UTF8EncodingWithoutBOM);
    }

    public override async Task<InputFormatterResult> ReadRequestBodyAsync(InputFormatterContext context, Encoding encoding)
    {
        var bytes = await ReadAllAsync(context.HttpContext);
        if (bytes.Length == 0 && context.TreatEmptyInputAsDefaultValue) return await InputFormatterResult.NoValueAsync();
        return await InputFormatterResult.SuccessAsync(ReadChecked(context.HttpContext, context.ModelType, bytes));
    }

    /// <summary>The body of a request to a route that is no controller's.</summary>
    /// <returns>Null when it is of another type; the answer is 415 then.</returns>
    /// <exception cref="ApiException">400: all that is wrong with it.</exception>
    public static async ValueTask<T?> ReadAsync<T>(HttpContext http)
        where T : class
    {
        if (IsJson(http.Request.ContentType)) return (T)ReadChecked(http, typeof(T), await ReadAllAsync(http));
        http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
        return null;
    }

    private static bool IsJson(string? type)
    {
        if (type is "application/json" or "application/json; charset=utf-8") return true;
        return MediaTypeHeaderValue.TryParse(type, out var parsed) && (parsed.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase)
                || (parsed.Type.Equals("application", StringComparison.OrdinalIgnoreCase) && parsed.Suffix.Equals("json", StringComparison.OrdinalIgnoreCase)))
            && (!parsed.Charset.HasValue || parsed.Encoding is UTF8Encoding);
    }

    private static object ReadChecked(HttpContext http, Type type, ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length == 0) throw new ApiException(Errors.BadRequest("body: is empty; send a JSON object"));
        var faults = new List<string>();
        var value = Read(type, bytes, faults);
        var code = value is null ? null : Validate(http.RequestServices, type, value, faults);
        if (faults.Count > 0) throw new ApiException(faults.Count == 1 && code is not null ? Errors.BadRequest(faults) with { Code = code } : Errors.BadRequest(faults));
        return value!;
    }

    private static object? Read(Type type, ReadOnlyMemory<byte> bytes, List<string> faults)
    {
        if (!Utf8.IsValid(bytes.Span))
        {
            faults.Add("body: is not UTF-8");
            return null;
        }
        // A body that can hold a bad character says so in an escape; only then is it looked through.
        var suspicious = bytes.Span.IndexOf("\\u0000"u8) >= 0 || bytes.Span.IndexOf("\\ud"u8) >= 0 || bytes.Span.IndexOf("\\uD"u8) >= 0;
        try
        {
            if (!suspicious && JsonSerializer.Deserialize(bytes.Span, type, Json.Options) is { } value) return value;
        }
        catch (JsonException)
        {
            // Read again below, member by member, to name every fault.
        }
        try
        {
            using var document = JsonDocument.Parse(bytes);
            if (suspicious) JsonFaults.FindBadText(document.RootElement, "", faults);
            return JsonFaults.Read(type, document.RootElement, Json.Options, faults);
        }
        catch (JsonException e)
        {
            faults.Add($"body: is not valid JSON (line {(e.LineNumber ?? 0) + 1}, byte {(e.BytePositionInLine ?? 0) + 1} of that line)");
            return null;
        }
        catch (InvalidOperationException) when (faults.Count > 0)
        {
            // The name of a member is no text, and so cannot be compared with the contract's: FindBadText has named it.
            return null;
        }
    }

    /// <returns>The code of its own that a fault has; it counts when there is no other.</returns>
    private static string? Validate(IServiceProvider services, Type type, object value, List<string> faults)
    {
        if (services.GetService(Validators.GetOrAdd(type, static t => typeof(IValidator<>).MakeGenericType(t))) is not IValidator validator) return null;
        string? code = null;
        var known = faults.Select(f => f[..f.IndexOf(':', StringComparison.Ordinal)]).ToHashSet();
        foreach (var failure in validator.Validate(new ValidationContext<object>(value)).Errors)
        {
            if (known.Contains(failure.PropertyName)) continue;
            faults.Add($"{failure.PropertyName}: {failure.ErrorMessage}");
            if (failure.ErrorCode?.StartsWith("ERR_", StringComparison.Ordinal) == true) code = failure.ErrorCode;
        }
        return code;
    }

    /// <summary>The whole body, without a byte order mark.</summary>
    /// <exception cref="ApiException">413: it is too large.</exception>
    internal static async Task<ReadOnlyMemory<byte>> ReadAllAsync(HttpContext http)
    {
        if (http.Request.ContentLength > MaxBytes) throw new ApiException(Errors.TooLarge("The body", MaxBytes));
        if (http.Request.ContentLength == 0) return default;
        if (http.Request.ContentLength <= MostAtOnce)
        {
            var known = GC.AllocateUninitializedArray<byte>((int)http.Request.ContentLength);
            return WithoutMark(known.AsMemory(0, await http.Request.Body.ReadAtLeastAsync(known, known.Length, throwOnEndOfStream: false, http.RequestAborted)));
        }
        var body = new ArrayBufferWriter<byte>(4096);
        while (true)
        {
            var read = await http.Request.Body.ReadAsync(body.GetMemory(4096), http.RequestAborted);
            if (read == 0) return WithoutMark(body.WrittenMemory);
            body.Advance(read);
            if (body.WrittenCount > MaxBytes) throw new ApiException(Errors.TooLarge("The body", MaxBytes));
        }
    }

    private static ReadOnlyMemory<byte> WithoutMark(ReadOnlyMemory<byte> body) => body.Span.StartsWith("\uFEFF"u8) ? body[3..] : body;
}
