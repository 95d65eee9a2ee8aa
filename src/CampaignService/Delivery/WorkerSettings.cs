using System.ComponentModel.DataAnnotations;

namespace CampaignService.Delivery;

/// <summary>Settings under <c>Workers__</c>, of processes with the role <c>worker</c>.</summary>
public sealed class WorkerSettings
{
    /// <summary>Chunks that this process delivers at the same time; 0 = one for each core.</summary>
    [Range(0, 64)]
    public int Loops { get; init; }

    /// <summary>Work that is due and has made no progress for so long raises the alarm: a log error, the metric <c>campaigns_stuck_work</c> and the detail of <c>/health/ready</c>.</summary>
    [Range(typeof(TimeSpan), "00:00:05", "1.00:00:00")]
    public TimeSpan StuckAfter { get; init; } = TimeSpan.FromMinutes(1);

    public int ActualLoops => Loops == 0 ? Environment.ProcessorCount : Loops;
}
