using System.ComponentModel.DataAnnotations;

namespace CampaignService.Scheduling;

/// <summary>Settings under <c>Scheduling__</c>.</summary>
public sealed class SchedulingSettings
{
    /// <summary>
    /// How late a campaign may start, or go on after an outage, by itself. One that is found later is paused with the reason <c>late</c>
    /// and goes on when somebody resumes it.
    /// </summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00")]
    public TimeSpan MaxLateness { get; init; } = TimeSpan.FromHours(1);
}
