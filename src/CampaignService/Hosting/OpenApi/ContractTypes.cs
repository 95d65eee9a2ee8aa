using System.Reflection;
using CampaignService.Common;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace CampaignService.Hosting.OpenApi;

/// <summary>
/// Contracts as callers see them: <see cref="Optional{T}"/> is a T that may be null, and a member that a record's constructor demands is required.
/// </summary>
public sealed class ContractTypes : ISerializerDataContractResolver
{
    private static readonly NullabilityInfoContext Nullability = new();

    private readonly JsonSerializerDataContractResolver _inner = new(Json.Options);

    public DataContract GetDataContractForType(Type type)
    {
        var contract = _inner.GetDataContractForType(type);
        return contract.DataType == DataType.Object
            ? DataContract.ForObject(type, [.. contract.ObjectProperties.Select(p => Seen(type, p))], contract.ObjectExtensionDataType, jsonConverter: contract.JsonConverter)
            : contract;
    }

    private static DataProperty Seen(Type owner, DataProperty property)
    {
        var isOptional = property.MemberType.IsGenericType && property.MemberType.GetGenericTypeDefinition() == typeof(Optional<>);
        var type = isOptional ? property.MemberType.GetGenericArguments()[0] : property.MemberType;
        var required = property.IsRequired || Demands(owner, property.MemberInfo.Name);
        return new DataProperty(property.Name, type, required, isOptional || IsNullable(property.MemberInfo), isReadOnly: false, isWriteOnly: false, property.MemberInfo);
    }

    public static bool IsNullable(MemberInfo member)
    {
        if (member is not PropertyInfo property) return false;
        // What a T is in an envelope may be null only if it says so itself; to the compiler any T may be null.
        if (property.DeclaringType is { IsGenericType: true } owner && owner.GetGenericTypeDefinition().GetProperty(property.Name)!.PropertyType.IsGenericParameter) return false;
        // The context keeps what it has read and is not made for several threads.
        lock (Nullability) return Nullability.Create(property).ReadState == NullabilityState.Nullable;
    }

    private static bool Demands(Type owner, string member) => owner.GetConstructors() is [var only]
        && only.GetParameters().Any(p => p.Name == member && !p.HasDefaultValue);
}
