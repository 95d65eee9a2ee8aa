using System.ComponentModel.DataAnnotations;

namespace CampaignService.Common;

/// <summary>Settings under <c>Limits__</c>.</summary>
public sealed class Limits
{
    /// <summary>The most data rows of one CSV file. It also bounds the memory an upload takes, at about 100 bytes a row beside its values.</summary>
    [Range(1, 10_000_000)]
    public int MaxCsvRows { get; init; } = 100_000;

    /// <summary>The most requests of one key in a minute, on each process; 0 = no limit.</summary>
    [Range(0, 1_000_000_000)]
    public int RequestsPerMinute { get; init; }

    /// <summary>The most bytes of one upload; 64 MiB.</summary>
    [Range(1, 16L << 30)]
    public long MaxUploadBytes { get; init; } = 64 << 20;
}
