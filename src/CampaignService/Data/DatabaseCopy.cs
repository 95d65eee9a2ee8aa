namespace CampaignService.Data;

/// <summary>Which database this is, in SQL. A copy that was restored elsewhere differs in one of the three from what <c>delivery_pulse</c> holds.</summary>
public static class DatabaseCopy
{
    public const string
        // Of the WAL that is being written: what the control file says of the timeline is right only after the next checkpoint.
        Identity = "(SELECT system_identifier FROM pg_control_system()), (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), left(pg_walfile_name(pg_current_wal_lsn()), 8)",
        IsSame = $"(system_identifier, database_oid, timeline) = ({Identity})";
}
