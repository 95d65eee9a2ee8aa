using System.Globalization;
using System.Security.Cryptography;

namespace CampaignService.Hosting;

/// <summary>The data folder of an embedded server and what lies beside it: the lock of the process that owns the server, and the password.</summary>
internal sealed class ClusterFiles(string dataDirectory)
{
    private const UnixFileMode OwnerFolder = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public string Data { get; } = Path.TrimEndingDirectorySeparator(Path.GetFullPath(dataDirectory));

    public string Home => Path.GetDirectoryName(Data)!;

    /// <summary>Where initdb works: only a finished folder gets the name <see cref="Data"/>, whenever a start dies.</summary>
    public string Unfinished => Data + ".new";

    private string Log => Path.Combine(Data, "server.log");

    private string PasswordFile => Data + ".password";

    /// <summary>
    /// The lock that the server's owner holds for as long as it lives, and that the kernel takes back however it dies; null: another has it.
    /// </summary>
    public FileStream? TryLock()
    {
        try
        {
            return new FileStream(Data + ".lock", Private(FileMode.OpenOrCreate));
        }
        catch (IOException busy) when (busy.HResult is 11 or 35) // EWOULDBLOCK on Linux and on macOS
        {
            return null;
        }
    }

    /// <summary>The major version that made the data folder; null: there is none yet.</summary>
    public int? MadeByMajor()
    {
        try
        {
            return int.Parse(File.ReadAllText(Path.Combine(Data, "PG_VERSION")), CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>The port in the server's pid file; null: no server runs here, or it is not up yet.</summary>
    public int? RunningPort()
    {
        try
        {
            string[] lines = File.ReadAllLines(Path.Combine(Data, "postmaster.pid"));
            return lines.Length > 3 && int.TryParse(lines[3], CultureInfo.InvariantCulture, out int port) ? port : null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    public string? Password() => File.Exists(PasswordFile) ? File.ReadAllText(PasswordFile) : null;

    /// <summary>Made before the cluster that it opens; the rename makes it whole or absent.</summary>
    public string NewPassword()
    {
        string password = RandomNumberGenerator.GetHexString(48, lowercase: true);
        using (var writer = new StreamWriter(PasswordFile + ".new", Private(FileMode.Create)))
            writer.Write(password);
        File.Move(PasswordFile + ".new", PasswordFile, overwrite: true);
        return password;
    }

    public long LogLength() => File.Exists(Log) ? new FileInfo(Log).Length : 0;

    /// <summary>The last lines that the server logged after <paramref name="from"/>.</summary>
    public string LogSince(long from)
    {
        if (LogLength() <= from)
            return "";
        using FileStream log = File.OpenRead(Log);
        log.Position = Math.Max(from, log.Length - 16_384);
        return string.Join('\n', new StreamReader(log).ReadToEnd().TrimEnd().Split('\n').TakeLast(12));
    }

    /// <summary>Keeps one old log when the present one has grown past 16 MiB; called while no server writes to it.</summary>
    public void TurnLog()
    {
        if (LogLength() > 16 << 20)
            File.Move(Log, Log + ".1", overwrite: true);
    }

    /// <summary>Makes the parent folder: closed to others, except that the server's account may pass through when it is not ours.</summary>
    public void MakeHome(bool passable) => MakeFolder(Home, passable ? OwnerFolder | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute : OwnerFolder);

    /// <summary>An empty folder for initdb, whatever an earlier start left.</summary>
    public void MakeUnfinished()
    {
        if (Directory.Exists(Unfinished))
            Directory.Delete(Unfinished, recursive: true);
        MakeFolder(Unfinished, OwnerFolder);
    }

    private static void MakeFolder(string folder, UnixFileMode mode)
    {
        if (Directory.Exists(folder) || OperatingSystem.IsWindows())
            return;
        MakeFolder(Path.GetDirectoryName(folder)!, mode);
        Directory.CreateDirectory(folder);
        File.SetUnixFileMode(folder, mode); // whatever the umask is
    }

    private static FileStreamOptions Private(FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
