using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;
using CampaignService.Tenancy;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace CampaignService.Delivery;

/// <summary>
/// Recipients that get the same template version, and how far sending to them has come. A batch knows its owner only by kind and id.
/// Its row is the first lock of everything that changes the batch or its chunks.
/// </summary>
public sealed class Batch
{
    private Batch() { }

    public long Id { get; private set; }

    public int AppNo { get; private set; }

    public BatchKind Kind { get; private set; }

    /// <summary>A campaign's id; nothing for a direct notification, which has the batch's own id.</summary>
    public string OwnerId { get; private set; } = "";

    public BatchState State { get; private set; }

    public string TemplateId { get; private set; } = "";

    public int TemplateVersion { get; private set; }

    /// <summary>The names of the values in <c>recipients.vars</c>, by position. Only ever grows, so rows written earlier stay right.</summary>
    public string[] VarNames { get; private set; } = [];

    /// <summary>Values for all recipients, by variable: what a recipient's own row does not give.</summary>
    public IReadOnlyDictionary<string, string> Variables { get; private set; } = new Dictionary<string, string>();

    /// <summary>How many recipients there are.</summary>
    public int Total { get; private set; }

    /// <summary>Counts the passes over the recipients: 0 for the first.</summary>
    public short Run { get; private set; }

    /// <summary>When sending last came on, to a few seconds; workers keep it (see <see cref="DeliveryPulse"/>).</summary>
    public DateTimeOffset? ProgressAt { get; private set; }

    /// <summary>While it is paused: why the service itself holds it.</summary>
    public HoldReason? HeldFor { get; private set; }

    /// <summary>The most messages a second to its external channels, all of them together; null = no limit.</summary>
    public double? RatePerSecond { get; private set; }

    /// <summary>From when on its owner wants nothing more sent; the owner keeps it, and is the one who stops.</summary>
    public DateTimeOffset? StopAt { get; private set; }

    public static Batch Create(BatchKind kind, string ownerId, TemplateVersion template, IReadOnlyDictionary<string, string> variables) => new()
    {
        AppNo = template.AppNo,
        Kind = kind,
        OwnerId = ownerId,
        State = BatchState.Draft,
        TemplateId = template.TemplateId,
        TemplateVersion = template.Version,
        Variables = variables,
    };

    public void ChangeContent(TemplateVersion template, IReadOnlyDictionary<string, string> variables)
    {
        Require(BatchState.Draft);
        TemplateId = template.TemplateId;
        TemplateVersion = template.Version;
        Variables = variables;
    }

    /// <summary>Makes room for the values of these variables.</summary>
    /// <returns>The position of each in <see cref="VarNames"/>.</returns>
    public int[] AddVarNames(IReadOnlyList<string> names)
    {
        Require(BatchState.Draft);
        VarNames = [.. VarNames, .. names.Except(VarNames)];
        return [.. names.Select(n => Array.IndexOf(VarNames, n))];
    }

    public void AddRecipients(int count)
    {
        Require(BatchState.Draft);
        Total = checked(Total + count);
    }

    /// <summary>Takes over the audience of another batch, whose rows the caller copies.</summary>
    public void CopyAudience(Batch other)
    {
        Require(BatchState.Draft);
        (VarNames, Total, RatePerSecond) = (other.VarNames, other.Total, other.RatePerSecond);
    }

    /// <summary>As many as there were to copy: those who were erased from the other are not among them.</summary>
    public void CopiedRecipients(int count)
    {
        Require(BatchState.Draft);
        Total = count;
    }

    public void Start(DateTimeOffset now)
    {
        Require(BatchState.Draft);
        (State, ProgressAt) = (BatchState.Sending, now);
    }

    /// <param name="reason">Why, when it is the service itself that pauses it.</param>
    public void Pause(HoldReason? reason = null)
    {
        Require(BatchState.Sending);
        (State, HeldFor) = (BatchState.Paused, reason);
    }

    /// <summary>It stays paused, but no longer for a reason of the service's own: somebody is to decide.</summary>
    public void Unhold()
    {
        Require(BatchState.Paused);
        HeldFor = null;
    }

    /// <summary>At any time; workers take it over within a second.</summary>
    public void LimitTo(double? perSecond) => RatePerSecond = perSecond;

    /// <summary>At any time.</summary>
    public void StopBy(DateTimeOffset? at) => StopAt = at;

    public void Resume(DateTimeOffset now)
    {
        Require(BatchState.Paused);
        (State, HeldFor, ProgressAt) = (BatchState.Sending, null, now);
    }

    /// <summary>Also from draft: a campaign can be paused before it started, and be stopped then.</summary>
    public void Stop()
    {
        Require(BatchState.Draft, BatchState.Sending, BatchState.Paused);
        (State, HeldFor) = (BatchState.Stopping, null);
    }

    public void End()
    {
        Require(BatchState.Sending, BatchState.Stopping);
        State = BatchState.Ended;
    }

    /// <summary>Another pass, over those whom the last one did not serve.</summary>
    /// <exception cref="ApiException">409: after so many passes that their number no longer fits.</exception>
    public void Reopen(DateTimeOffset now)
    {
        Require(BatchState.Ended);
        if (Run == short.MaxValue) throw new ApiException(Errors.Conflict("This campaign was retried too often. Duplicate it to send it anew."));
        (State, Run, ProgressAt) = (BatchState.Sending, (short)(Run + 1), now);
    }

    public void Cancel()
    {
        Require(BatchState.Draft, BatchState.Paused);
        State = BatchState.Cancelled;
    }

    /// <summary>The owner checks its own state first and tells the caller; a batch that then disagrees is a bug.</summary>
    private void Require(params BatchState[] states)
    {
        if (!states.Contains(State)) throw new InvalidOperationException($"Batch {Id} is {State}, not {string.Join(" or ", states)}.");
    }

    private sealed class Configuration : IEntityTypeConfiguration<Batch>
    {
        public void Configure(EntityTypeBuilder<Batch> builder)
        {
            builder.HasKey(b => b.Id);
            builder.Property(b => b.Id).ValueGeneratedOnAdd().HasDefaultValueSql("next_id()");
            builder.Property(b => b.Kind).HasConversion<short>();
            builder.Property(b => b.State).HasConversion<short>().IsConcurrencyToken();
            builder.Property(b => b.HeldFor).HasConversion<short?>();
            builder.Property(b => b.Variables).HasColumnType("jsonb").HasJsonConversion();
            builder.HasIndex(b => b.State).HasFilter($"state IN ({(short)BatchState.Sending}, {(short)BatchState.Stopping})");
            builder.HasOne<App>().WithMany().HasForeignKey(b => b.AppNo).OnDelete(DeleteBehavior.Restrict);
            builder.HasOne<TemplateVersion>().WithMany().HasForeignKey(b => new { b.TemplateId, b.TemplateVersion }).OnDelete(DeleteBehavior.Restrict);
        }
    }
}

/// <summary>What kind of owner a batch has.</summary>
public enum BatchKind
{
    Campaign = 1,
    Notification = 2,
}

public enum BatchState
{
    /// <summary>Recipients can be added; there are no chunks yet.</summary>
    Draft = 0,

    /// <summary>Cut into chunks; workers take them.</summary>
    Sending = 2,

    /// <summary>Its chunks are held; no worker takes them.</summary>
    Paused = 3,

    /// <summary>No new message goes out; those under way are waited for.</summary>
    Stopping = 4,

    /// <summary>Nothing is pending.</summary>
    Ended = 5,

    /// <summary>Ended before it began.</summary>
    Cancelled = 6,
}
