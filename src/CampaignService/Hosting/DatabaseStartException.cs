using CampaignService.Common;

namespace CampaignService.Hosting;

/// <summary>The database cannot be started. The message is written for the person who started the service: what is wrong, and what to do.</summary>
public sealed class DatabaseStartException(string message, Exception? innerException = null) : StartException(message, innerException);
