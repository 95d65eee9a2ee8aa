using System.Diagnostics;

namespace CampaignService.Hosting;

/// <summary>The account the embedded server runs under: ours or, when we are root (PostgreSQL refuses that), <c>postgres</c> or <c>nobody</c>.</summary>
internal sealed class ServerAccount
{
    /// <summary>All that a server's program needs. The service's own environment holds secrets, which are none of the server's business.</summary>
    private static readonly string[] PassedOn = ["PATH", "LD_LIBRARY_PATH", "TZ"];

    private readonly string[] _switchUser;

    private ServerAccount(string name, string ids, string[] switchUser)
    {
        Name = name;
        Ids = ids;
        _switchUser = switchUser;
    }

    public string Name { get; }

    /// <summary><c>uid:gid</c>, in numbers; empty when the account is ours.</summary>
    public string Ids { get; }

    /// <summary>Whether we are root and the server runs as somebody else.</summary>
    public bool IsOther => _switchUser.Length > 0;

    /// <exception cref="DatabaseStartException">We are root and there is no way to be somebody else.</exception>
    public static ServerAccount Current()
    {
        if (OperatingSystem.IsWindows())
        {
            throw new DatabaseStartException(
                "The embedded PostgreSQL runs on Linux and macOS. On Windows name a server in ConnectionStrings__Campaigns.");
        }

        if (!Environment.IsPrivilegedProcess)
            return new(Environment.UserName, "", []);

        string[] accounts = File.ReadAllLines("/etc/passwd");
        string account = Array.Find(accounts, a => a.StartsWith("postgres:", StringComparison.Ordinal))
            ?? Array.Find(accounts, a => a.StartsWith("nobody:", StringComparison.Ordinal))
            ?? throw Impossible("there is no user postgres or nobody to run it");
        string[] fields = account.Split(':');
        (string name, string uid, string gid) = (fields[0], fields[2], fields[3]);
        (string Program, string[] Arguments)[] ways =
        [
            ("/usr/bin/setpriv", [$"--reuid={uid}", $"--regid={gid}", "--clear-groups", "--"]),
            ("/usr/sbin/runuser", ["-u", name, "--"]),
            ("/usr/bin/sudo", ["-n", "-u", name, "--"]),
        ];
        (string Program, string[] Arguments) way = Array.Find(ways, w => File.Exists(w.Program));
        return way.Program is null
            ? throw Impossible("none of setpriv, runuser and sudo is here to run it as " + name)
            : new(name, $"{uid}:{gid}", [way.Program, .. way.Arguments]);
    }

    private static DatabaseStartException Impossible(string reason) =>
        new($"PostgreSQL never runs as root, and {reason}. Start the service as another user.");

    /// <summary>Whether the account may enter a folder; for one that is not there yet, the nearest parent that is.</summary>
    public async Task<bool> CanEnterAsync(string directory, CancellationToken ct)
    {
        if (!IsOther)
            return true;
        while (!Directory.Exists(directory))
            directory = Path.GetDirectoryName(directory)!;
        return (await RunAsync(["/bin/sh", "-c", "cd \"$1\"", "sh", directory], "", ct)).Succeeded;
    }

    /// <summary>Runs a program to its end as this account; what it writes, on either stream, is returned.</summary>
    public Task<Outcome> RunAsync(string[] command, string input, CancellationToken ct) => FinishAsync(Launch(command), input, ct);

    /// <summary>Runs a program to its end as ourselves.</summary>
    public static Task<Outcome> RunAsOurselvesAsync(string[] command, CancellationToken ct) => FinishAsync(Launch([], command), "", ct);

    /// <summary>Starts a program as this account, with its three streams in our hands.</summary>
    public Process Launch(string[] command) => Launch(_switchUser, command);

    private static Process Launch(string[] switchUser, string[] command)
    {
        string[] all = [.. switchUser, .. command];
        var start = new ProcessStartInfo(all[0], all[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/", // ours may be closed to that account
        };
        start.Environment.Clear();
        start.Environment["LC_ALL"] = "C"; // messages are read by us
        foreach (string name in PassedOn)
            if (Environment.GetEnvironmentVariable(name) is { } value)
                start.Environment[name] = value;
        return Process.Start(start)!;
    }

    private static async Task<Outcome> FinishAsync(Process started, string input, CancellationToken ct)
    {
        using Process process = started;
        Task<string> output = process.StandardOutput.ReadToEndAsync(ct);
        Task<string> errors = process.StandardError.ReadToEndAsync(ct);
        try
        {
            await process.StandardInput.WriteAsync(input.AsMemory(), ct);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading; its exit code says why.
        }

        string said = await output + await errors;
        await process.WaitForExitAsync(ct);
        return new(process.ExitCode == 0, said.Trim());
    }

    internal sealed record Outcome(bool Succeeded, string Said);
}
