using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class ExternalChannels : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<byte[]>(
                name: "sealed",
                table: "channels",
                type: "bytea",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "settings",
                table: "channels",
                type: "jsonb",
                nullable: true);

            migrationBuilder.AddColumn<short>(
                name: "held_for",
                table: "batches",
                type: "smallint",
                nullable: true);

            migrationBuilder.AddColumn<double>(
                name: "rate_per_second",
                table: "batches",
                type: "double precision",
                nullable: true);

            migrationBuilder.Sql(EngineSchema.External);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql(EngineSchema.DropExternal);

            migrationBuilder.DropColumn(
                name: "sealed",
                table: "channels");

            migrationBuilder.DropColumn(
                name: "settings",
                table: "channels");

            migrationBuilder.DropColumn(
                name: "held_for",
                table: "batches");

            migrationBuilder.DropColumn(
                name: "rate_per_second",
                table: "batches");
        }
    }
}
