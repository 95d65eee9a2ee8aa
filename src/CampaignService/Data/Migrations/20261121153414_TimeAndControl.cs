using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class TimeAndControl : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_batches_state",
                table: "batches");

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "paused_at",
                table: "campaigns",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "schedule_zone",
                table: "campaigns",
                type: "text",
                nullable: true);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "scheduled_at",
                table: "campaigns",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "status_reason",
                table: "campaigns",
                type: "text",
                nullable: true);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "stop_at",
                table: "campaigns",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "progress_at",
                table: "batches",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "ix_campaigns_scheduled_at",
                table: "campaigns",
                column: "scheduled_at",
                filter: "status = 1");

            migrationBuilder.CreateIndex(
                name: "ix_campaigns_stop_at",
                table: "campaigns",
                column: "stop_at",
                filter: "stop_at IS NOT NULL AND status = 2");

            migrationBuilder.CreateIndex(
                name: "ix_batches_state",
                table: "batches",
                column: "state",
                filter: "state IN (2, 4)");

            migrationBuilder.Sql(EngineSchema.Pulse);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql(EngineSchema.DropPulse);

            migrationBuilder.DropIndex(
                name: "ix_campaigns_scheduled_at",
                table: "campaigns");

            migrationBuilder.DropIndex(
                name: "ix_campaigns_stop_at",
                table: "campaigns");

            migrationBuilder.DropIndex(
                name: "ix_batches_state",
                table: "batches");

            migrationBuilder.DropColumn(
                name: "paused_at",
                table: "campaigns");

            migrationBuilder.DropColumn(
                name: "schedule_zone",
                table: "campaigns");

            migrationBuilder.DropColumn(
                name: "scheduled_at",
                table: "campaigns");

            migrationBuilder.DropColumn(
                name: "status_reason",
                table: "campaigns");

            migrationBuilder.DropColumn(
                name: "stop_at",
                table: "campaigns");

            migrationBuilder.DropColumn(
                name: "progress_at",
                table: "batches");

            migrationBuilder.CreateIndex(
                name: "ix_batches_state",
                table: "batches",
                column: "state",
                filter: "state = 2");
        }
    }
}
