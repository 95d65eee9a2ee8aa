namespace CampaignService.Common;

/// <summary>A place on disk for what is too large for memory and is gone when it is closed.</summary>
public static class Spool
{
    /// <summary>Where the system allows it the file's name is gone at once, so that a kill -9 leaves nothing either.</summary>
    public static FileStream Open()
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Options = FileOptions.DeleteOnClose | FileOptions.Asynchronous };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var file = new FileStream(Path.Combine(Path.GetTempPath(), $"campaigns-{Guid.NewGuid():N}.csv"), options);
        if (!OperatingSystem.IsWindows()) File.Delete(file.Name);
        return file;
    }
}
