namespace CampaignService.Delivery;

/// <summary>
/// Lets the loops of a process deliver side by side, and one of them alone when its chunk is under suspicion: if the process dies then,
/// it was that chunk and no other that stood before it.
/// </summary>
public sealed class SingleFile(int loops) : IDisposable
{
    private readonly SemaphoreSlim _seats = new(loops, loops);
    private readonly SemaphoreSlim _door = new(1, 1);

    /// <summary>Whether somebody waits to be alone: give back what you have not begun, and leave.</summary>
    public bool MustLeave { get; private set; }

    public async Task EnterAsync(CancellationToken ct)
    {
        await _door.WaitAsync(ct);
        _door.Release();
        await _seats.WaitAsync(ct);
    }

    public void Leave() => _seats.Release();

    /// <summary>For one that has entered: runs when all others have left, and keeps them out meanwhile.</summary>
    /// <returns>False, with nothing run, when another is alone or waits to be: two that wait for each other would wait for ever.</returns>
    public async Task<bool> TryAloneAsync(Func<Task> act, CancellationToken ct)
    {
        if (!await _door.WaitAsync(0, ct)) return false;
        var others = 0;
        MustLeave = true;
        try
        {
            for (; others < loops - 1; others++) await _seats.WaitAsync(ct);
            await act();
            return true;
        }
        finally
        {
            MustLeave = false;
            if (others > 0) _seats.Release(others);
            _door.Release();
        }
    }

    public void Dispose()
    {
        _seats.Dispose();
        _door.Dispose();
    }
}
