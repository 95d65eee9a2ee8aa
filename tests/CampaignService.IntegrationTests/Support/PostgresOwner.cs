using System.Diagnostics;
using CampaignService.Hosting;
using CampaignService.IntegrationTests.Chaos;
using Microsoft.Extensions.Logging.Abstractions;

namespace CampaignService.IntegrationTests.Support;

/// <summary>A process of its own that runs an embedded server, so that a test can kill it. The test assembly is its program.</summary>
internal sealed class PostgresOwner : IDisposable
{
    private readonly Process _process;

    private PostgresOwner(Process process, string connectionString) => (_process, ConnectionString) = (process, connectionString);

    public string ConnectionString { get; }

    /// <summary>Starts the process and waits until its server takes connections.</summary>
    public static async Task<PostgresOwner> StartAsync(string dataDirectory)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(PostgresOwner).Assembly.Location, dataDirectory])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        Process process = Process.Start(start)!;
        return new(process, await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("the owner ended without a word"));
    }

    /// <summary>kill -9: no handler, no finally, no dispose runs in it.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public void Dispose()
    {
        _process.Kill();
        _process.Dispose();
    }

    /// <summary>The program that this assembly is: the owner of a server or, asked for by name, the long form of the chaos tests.</summary>
    private static async Task<int> Main(string[] args)
    {
        if (args is ["chaos", .. var rest]) return await ChaosProgram.RunAsync(rest);
        await using EmbeddedPostgres postgres = await EmbeddedPostgres.StartAsync(
            new EmbeddedPostgresOptions { DataDirectory = args[0] }, NullLogger.Instance);
        await Console.Out.WriteLineAsync(postgres.ConnectionString);
        await Console.In.ReadLineAsync();
        return 0;
    }
}
