using CampaignService.Common;
using CampaignService.Data;
using CampaignService.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;
using Serilog;
using Serilog.Extensions.Logging;

if (args is ["--health"]) return await HealthProbe.RunAsync();

var builder = WebApplication.CreateBuilder(args);
builder.AddLogs();
try
{
    // The database is started by another process: meanwhile this one builds what the first query would otherwise wait for.
    var model = Task.Run(CampaignsDb.Warm);
    using var startLog = new SerilogLoggerFactory(Log.Logger);
    await using var database = await DatabaseChoice.OpenAsync(builder.Configuration, startLog.CreateLogger<DatabaseChoice>(), CancellationToken.None);
    await model;
    builder.AddPlatform(database.ConnectionString);
    builder.AddModules(database.ConnectionString);
    builder.AddOpenApi();

    await using var app = builder.Build();
    app.UsePlatform();
    app.MapPlatform();
    await app.PrepareDatabaseAsync(database.IsEmbedded);
    await app.RunAsync();
    return 0;
}
catch (StartException e)
{
    Log.Fatal("{Message}", e.Message);
    return 1;
}
catch (IOException e) when (e.InnerException is AddressInUseException)
{
    Log.Fatal("{Message} Stop what listens there, or set ASPNETCORE_URLS to another address.", e.Message);
    return 1;
}
catch (Exception e) when (e is OptionsValidationException or Npgsql.NpgsqlException || e.InnerException is FormatException)
{
    Log.Fatal("The service cannot start: {Message} Check its settings, ConnectionStrings__Campaigns among them.", e.Message);
    return 1;
}
finally
{
    await Log.CloseAndFlushAsync();
}

public partial class Program;
