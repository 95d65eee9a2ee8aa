using CampaignService.Data;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace CampaignService.UnitTests.Data;

public sealed class DatabaseHealthTests
{
    [Theory]
    [InlineData("08006")] // the connection failed
    [InlineData("25P03")] // the process stood still in a transaction for too long
    [InlineData("53300")] // too many connections
    [InlineData("55000")] // the database takes no connections at the moment
    [InlineData("57P01")] // the server ends connections
    [InlineData("57P03")] // the server is starting up
    public void What_the_server_says_when_it_ends_a_connection_is_no_fault_of_the_work(string sqlState)
    {
        Assert.True(DatabaseHealth.IsConnectionLoss(Said(sqlState)));
        Assert.True(DatabaseHealth.IsConnectionLoss(new InvalidOperationException("transient", new DbUpdateException("saving", Said(sqlState)))));
    }

    [Theory]
    [InlineData("22003")]
    [InlineData("23505")]
    [InlineData("42P01")]
    public void What_it_says_of_a_statement_is_another_matter(string sqlState) => Assert.False(DatabaseHealth.IsConnectionLoss(Said(sqlState, "ERROR")));

    private static PostgresException Said(string sqlState, string severity = "FATAL") => new("", severity, severity, sqlState);
}
