using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class BatchesThatStop : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "stop_at",
                table: "batches",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.Sql("UPDATE batches b SET stop_at = c.stop_at FROM campaigns c WHERE c.batch_id = b.id AND c.stop_at IS NOT NULL;");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "stop_at",
                table: "batches");
        }
    }
}
