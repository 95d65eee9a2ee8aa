using System.Globalization;
using System.Text;

namespace CampaignService.IntegrationTests.Chaos;

/// <summary>A campaign that a run sends, and what it must come to.</summary>
internal sealed class Subject(int number, int recipients)
{
    /// <summary>Every third campaign has a few whom its template cannot be rendered for: they are skipped.</summary>
    public int Missing { get; } = number % 3 == 0 ? 5 : 0;

    /// <summary>Whether it goes to two channels.</summary>
    public bool IsDouble { get; } = number % 2 == 1;

    public int Recipients => recipients;

    public int Channels => IsDouble ? 2 : 1;

    public string Id { get; set; } = "";

    public DateTimeOffset? ScheduledAt { get; set; }

    /// <summary>True: a stop was answered with yes. Null: one was not answered.</summary>
    public bool? IsStopped { get; set; } = false;

    /// <summary>It was seen to have ended: nothing can be done to it any more.</summary>
    public bool HasEnded { get; set; }

    /// <summary>How it ends unless it is stopped.</summary>
    public string Outcome => Missing > 0 ? "partially_failed" : "completed";

    public bool MayEndAs(string status) => IsStopped switch
    {
        true => status == "stopped",
        null => status == "stopped" || status == Outcome,
        false => status == Outcome,
    };

    public byte[] Csv()
    {
        var csv = new StringBuilder("user_id,name,city\n");
        for (var i = 0; i < recipients; i++) csv.Append(CultureInfo.InvariantCulture, $"user-{i},{(i < Missing ? "" : $"Name {i}")},Town {i % 97}\n");
        return Encoding.UTF8.GetBytes(csv.ToString());
    }
}
