using System.Data;
using System.Globalization;
using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Templates;
using CsvHelper;
using CsvHelper.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace CampaignService.Delivery;

/// <summary>The ledger of one batch as of one moment, in the words of the API: batch, chunks and recipients are read from one snapshot.</summary>
public sealed class BatchLedger : IAsyncDisposable
{
    private static readonly string[] Header = ["user_id", "channel_id", "status", "reason", "detail", "attempts", "at"];

    private readonly CampaignsDb _db;
    private readonly IDbContextTransaction _snapshot;
    private readonly RecipientLedger _ledger;
    private readonly Batch _batch;
    private readonly VariableSchema _schema;
    private readonly Dictionary<int, ChannelName> _channels;
    private readonly Dictionary<string, int> _numbers;

    private BatchLedger(CampaignsDb db, IDbContextTransaction snapshot, Batch batch, TemplateVersion version, Dictionary<string, int> numbers)
    {
        (_db, _snapshot, _batch, _numbers) = (db, snapshot, batch, numbers);
        _schema = new VariableSchema(version.Content.VariableSchema);
        _channels = ChannelName.Of(version);
        _ledger = new RecipientLedger(db.Connection, batch.Id, [.. _channels.Keys]);
    }

    /// <param name="db">The caller's context, without a transaction.</param>
    /// <param name="find">Finds the batch, or throws that its owner is not there.</param>
    /// <param name="ct">Stops it.</param>
    public static async Task<BatchLedger> OpenAsync(CampaignsDb db, Func<Task<Batch>> find, CancellationToken ct)
    {
        var snapshot = await db.Database.BeginTransactionAsync(IsolationLevel.RepeatableRead, ct);
        var batch = await find();
        var version = await db.PinnedVersionAsync(batch.TemplateId, batch.TemplateVersion, ct);
        return new BatchLedger(db, snapshot, batch, version, await ChannelNumbersAsync(db, batch.AppNo, ct));
    }

    /// <summary>The channels of an app by id and by slug.</summary>
    public static async Task<Dictionary<string, int>> ChannelNumbersAsync(CampaignsDb db, int appNo, CancellationToken ct)
    {
        var channels = await db.Channels.AsNoTracking().Where(c => c.AppNo == appNo).Select(c => new { c.Id, c.ChannelId, c.No }).ToListAsync(ct);
        return channels.SelectMany(c => new[] { (c.Id, c.No), (c.ChannelId, c.No) }).ToDictionary(c => c.Item1, c => c.No);
    }

    public ValueTask DisposeAsync() => _snapshot.DisposeAsync();

    /// <summary>The number of a channel given by id or slug.</summary>
    /// <exception cref="ApiException">404: the app has no such channel.</exception>
    public int? ChannelNo(string? idOrSlug) =>
        idOrSlug is null ? null : _numbers.TryGetValue(idOrSlug, out var no) ? no : throw new ApiException(Errors.NotFound("channel", idOrSlug));

    public async Task<List<RecipientView>> TakeAsync(LedgerFilter filter, string? after, int count, CancellationToken ct)
    {
        var views = new List<RecipientView>();
        await foreach (var entry in _ledger.ReadAsync(filter, after, count, ct))
        {
            views.Add(View(entry));
            if (views.Count == count) break;
        }
        return views;
    }

    public async Task<RecipientView?> FindAsync(string userId, CancellationToken ct) => await _ledger.FindAsync(userId, ct) is { } entry ? View(entry) : null;

    public async Task<SummaryView> SummaryAsync(CancellationToken ct)
    {
        var sums = (await BatchTotals.ReadAsync(_db.Connection, [_batch.Id], ct)).GetValueOrDefault(_batch.Id)
            ?? BatchTotals.AllPending(_batch.Total, _channels.Keys);
        var reasons = await ReasonCount.ReadAsync(_db.Connection, _batch.Id, ct);
        var exclusions = await ExclusionCounts.ReadAsync(_db.Connection, _batch.Id, ct);
        return new SummaryView(TotalsView.Of(sums, _channels),
            [.. reasons.Select(r => new ReasonView(_channels[r.ChannelNo].ChannelId, r.Status, r.Reason, r.Count))], exclusions);
    }

    /// <summary>Writes every message as a line.</summary>
    public async Task ExportAsync(Stream output, CancellationToken ct)
    {
        await using var text = new StreamWriter(output, new System.Text.UTF8Encoding(false), 32 * 1024, leaveOpen: true);
        await using var csv = new CsvWriter(text, new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            NewLine = "\r\n",
            InjectionOptions = InjectionOptions.Escape,
            InjectionCharacters = ['=', '+', '-', '@'],
            InjectionEscapeCharacter = '\'',
        }, leaveOpen: true);
        foreach (var header in Header) csv.WriteField(header);
        await csv.NextRecordAsync();
        await foreach (var entry in _ledger.ReadAsync(new LedgerFilter(), after: null, ChunkPlanner.ChunkSize, ct))
        {
            foreach (var message in entry.Messages)
            {
                csv.WriteField(entry.UserId);
                csv.WriteField(_channels[message.ChannelNo].ChannelId);
                csv.WriteField(System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(message.Status.ToString()));
                csv.WriteField(message.Reason);
                csv.WriteField(message.Detail);
                csv.WriteField(message.Attempts);
                csv.WriteField(message.At is { } at ? TimeConverter.Format(at) : null);
                await csv.NextRecordAsync();
            }
        }
    }

    private RecipientView View(LedgerEntry entry)
    {
        var names = _batch.VarNames;
        var given = entry.Vars.Select((value, i) => (Name: names[i], Value: value)).Where(v => v.Value is not null);
        return new RecipientView(entry.UserId, VariableValues.ToJson(_schema, given.Select(v => KeyValuePair.Create(v.Name, v.Value!))), entry.Status,
            [.. entry.Messages.Select(m => new MessageView(_channels[m.ChannelNo].ChannelId, _channels[m.ChannelNo].ChannelType, m.Status, m.Reason, m.Detail, m.Attempts, m.At))]);
    }
}
