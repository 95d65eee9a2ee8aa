namespace CampaignService.Common;

/// <summary>On an endpoint that keeps a record of each of its successes anyway, and is called too often for a line of the log for each.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class LogsFailuresAttribute : Attribute;
