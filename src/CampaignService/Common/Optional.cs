using System.Text.Json;
using System.Text.Json.Serialization;

namespace CampaignService.Common;

/// <summary>A member of a PUT body: left out (<see cref="IsGiven"/> is false), or given, perhaps as null.</summary>
[JsonConverter(typeof(OptionalConverterFactory))]
public readonly struct Optional<T>(T value)
{
    public bool IsGiven { get; } = true;

    public T Value { get; } = value;

    public T Or(T unchanged) => IsGiven ? Value : unchanged;
}

public sealed class OptionalConverterFactory : JsonConverterFactory
{
    public override bool CanConvert(Type typeToConvert) => typeToConvert.IsGenericType && typeToConvert.GetGenericTypeDefinition() == typeof(Optional<>);

    public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options) =>
        (JsonConverter)Activator.CreateInstance(typeof(Converter<>).MakeGenericType(typeToConvert.GetGenericArguments()))!;

    private sealed class Converter<T> : JsonConverter<Optional<T>>
    {
        public override bool HandleNull => true;

        public override Optional<T> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            new(JsonSerializer.Deserialize<T>(ref reader, options)!);

        public override void Write(Utf8JsonWriter writer, Optional<T> value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, value.Value, options);
    }
}
