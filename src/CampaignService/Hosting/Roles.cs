using CampaignService.Common;

namespace CampaignService.Hosting;

/// <summary>
/// What this process does (setting <c>Roles</c>, comma-separated; all when unset). Any number of processes of each role share one database.
/// </summary>
/// <param name="Api">Answers the REST API and Swagger UI.</param>
/// <param name="Worker">Delivers messages and looks after leases and ends of batches.</param>
/// <param name="Scheduler">Starts campaigns at their time.</param>
/// <param name="Dashboard">Serves the pages for operators.</param>
public sealed record Roles(bool Api, bool Worker, bool Scheduler, bool Dashboard)
{
    private static readonly string[] Names = ["api", "worker", "scheduler", "dashboard"];

    public static Roles From(IConfiguration configuration)
    {
        var asked = (configuration["Roles"] ?? "").ToLowerInvariant().Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (asked.FirstOrDefault(r => !Names.Contains(r)) is { } unknown)
        {
            throw new StartException($"Roles holds '{unknown}'; it takes any of {string.Join(", ", Names)}.");
        }
        bool Has(string role) => asked.Length == 0 || asked.Contains(role);
        return new Roles(Has("api"), Has("worker"), Has("scheduler"), Has("dashboard"));
    }
}
