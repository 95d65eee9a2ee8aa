using Xunit.Abstractions;

[assembly: TestCollectionOrderer("CampaignService.IntegrationTests.Support.LongestFirst", "CampaignService.IntegrationTests")]

namespace CampaignService.IntegrationTests.Support;

/// <summary>Classes that take long, mostly because they wait for processes and leases, begin first: a run is not to end with waiting for one of them alone.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] Long =
        ["CrashTests", "EmbeddedPostgresTests", "KillTests", "External.RandomTests", "ConnectionCutTests", "RandomSequenceTests", "ClockTests", "ControlTests", "TwoProcessesTests", "QuartzSchedulingTests"];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderByDescending(c => Long.Any(name => c.DisplayName.EndsWith(name, StringComparison.Ordinal)));
}
