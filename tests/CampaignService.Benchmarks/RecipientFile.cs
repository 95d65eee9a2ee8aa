namespace CampaignService.Benchmarks;

/// <summary>The same recipients in two files: one as it is uploaded, and one with the three values as an array for the second reference.</summary>
internal sealed record RecipientFile(string Csv, string ArrayCsv, int Rows)
{
    private static readonly string[] Names = ["Alexander", "Mia", "Oluwaseun", "Chen", "Charlotte", "Ivo", "Fatima", "Henry"];
    private static readonly string[] Cities = ["Springfield", "Oslo", "Sao Paulo", "Ulm", "Nairobi", "Quito", "Edinburgh", "Bath"];

    /// <summary>About 40 bytes a row; the ids are different ones in random order, the same at each run.</summary>
    public static async Task<RecipientFile> WriteAsync(string folder, int rows, CancellationToken ct)
    {
        var file = new RecipientFile(Path.Combine(folder, $"{rows}.csv"), Path.Combine(folder, $"{rows}-array.csv"), rows);
        await using var csv = new StreamWriter(file.Csv);
        await using var array = new StreamWriter(file.ArrayCsv);
        await csv.WriteAsync("user_id,name,city,code\n".AsMemory(), ct);
        await array.WriteAsync("user_id,vars\n".AsMemory(), ct);
        for (var i = 0u; i < rows; i++)
        {
            // An odd factor and a shift that mixes downwards are both one to one: no id comes twice.
            var mixed = (i + 1) * 2654435761u;
            mixed = (mixed ^ (mixed >> 15)) * 2246822519u;
            var (name, city) = (Names[mixed % 8], Cities[(mixed >> 3) % 8]);
            await csv.WriteAsync($"user-{mixed:x8},{name},{city},{mixed >> 6:D8}\n".AsMemory(), ct);
            await array.WriteAsync($"user-{mixed:x8},\"{{{name},\"\"{city}\"\",{mixed >> 6:D8}}}\"\n".AsMemory(), ct);
        }
        return file;
    }
}
