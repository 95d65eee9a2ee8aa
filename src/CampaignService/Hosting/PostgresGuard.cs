using System.Diagnostics;

namespace CampaignService.Hosting;

/// <summary>
/// A shell that starts the server for us and stops it when we are gone. It reads a pipe whose other end only we hold: each line is the
/// settings to start the server with, and the end of the pipe, which the kernel closes however we end, means stop. So it is on guard before the server
/// runs, and there is no moment at which our death leaves a server behind.
/// </summary>
internal sealed class PostgresGuard : IDisposable
{
    // Ctrl-C goes to the whole process group, but the server has to outlive our own orderly end: the shell ignores it, and pg_ctl gives the server a session of
    // its own. PIPE: we may be dead when it answers. It stops only the server that it started: a successor of ours may run another one by then.
    private const string Script = """
        trap '' INT HUP TERM PIPE
        pid_file=$2/postmaster.pid
        while read -r settings; do
          said=$("$1" -D "$2" -w -t 600 -l "$2/server.log" -o "$settings" start 2>&1 </dev/null)
          code=$?
          [ -r "$pid_file" ] && read -r ours <"$pid_file"
          printf '%s\nexit %s\n' "$said" "$code"
        done
        [ -r "$pid_file" ] && read -r now <"$pid_file"
        [ -n "$ours" ] && [ "$ours" = "$now" ] || exit 0
        exec "$1" -D "$2" -m fast -w -t 60 stop >/dev/null 2>&1 </dev/null
        """;

    private readonly Process _shell;

    public PostgresGuard(ServerAccount account, PostgresBinaries binaries, string dataDirectory) =>
        _shell = account.Launch(["/bin/sh", "-c", Script, "campaigns-postgres-guard", binaries.Program("pg_ctl"), dataDirectory]);

    public bool IsOnDuty => !_shell.HasExited;

    /// <summary>Starts the server and waits until it takes connections or gives up.</summary>
    public async Task<ServerAccount.Outcome> StartAsync(string settings, CancellationToken ct)
    {
        await _shell.StandardInput.WriteLineAsync(settings.AsMemory(), ct);
        await _shell.StandardInput.FlushAsync(ct);
        List<string> said = [];
        while (await _shell.StandardOutput.ReadLineAsync(ct) is { } line)
        {
            if (line.StartsWith("exit ", StringComparison.Ordinal))
                return new(line == "exit 0", string.Join('\n', said).Trim());
            said.Add(line);
        }

        return new(false, "The shell that starts the server ended: " + await _shell.StandardError.ReadToEndAsync(ct));
    }

    /// <summary>Stops the server in an orderly way (connections are cut, nothing committed is lost) and waits until it is gone.</summary>
    public async Task StopServerAsync()
    {
        _shell.StandardInput.Close();
        await _shell.WaitForExitAsync();
    }

    public void Dispose() => _shell.Dispose();
}
