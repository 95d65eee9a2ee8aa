using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class ChannelsThatMove : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "server_since",
                table: "channels",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.Sql(EngineSchema.GoneSince);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql("ALTER TABLE channel_circuits DROP COLUMN gone_since;");

            migrationBuilder.DropColumn(
                name: "server_since",
                table: "channels");
        }
    }
}
