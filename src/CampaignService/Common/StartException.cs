namespace CampaignService.Common;

/// <summary>The service cannot start like this; the message says what is wrong and what to change.</summary>
public class StartException(string message, Exception? innerException = null) : Exception(message, innerException);
