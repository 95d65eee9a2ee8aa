using System.Collections.Concurrent;
using CampaignService.Common;

namespace CampaignService.Campaigns;

/// <summary>How many streams each app follows on this process: each of them reads the database again and again.</summary>
public sealed class StreamSeats
{
    /// <summary>For each app and process.</summary>
    public const int AtMost = 100;

    private readonly ConcurrentDictionary<int, int> _taken = new();

    /// <exception cref="ApiException">429: all are taken.</exception>
    public Seat Take(int appNo)
    {
        if (_taken.AddOrUpdate(appNo, 1, (_, n) => n + 1) <= AtMost) return new Seat(this, appNo);
        Leave(appNo);
        throw new ApiException(Errors.TooManyStreams(AtMost));
    }

    private void Leave(int appNo) => _taken.AddOrUpdate(appNo, 0, (_, n) => n - 1);

    public readonly struct Seat(StreamSeats seats, int appNo) : IDisposable
    {
        public void Dispose() => seats.Leave(appNo);
    }
}
