using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class Analytics : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateIndex(
                name: "ix_notifications_app_no_status_id",
                table: "notifications",
                columns: new[] { "app_no", "status", "id" },
                filter: "status <> 2");

            migrationBuilder.CreateIndex(
                name: "ix_notifications_app_no_tag_id",
                table: "notifications",
                columns: new[] { "app_no", "tag", "id" },
                filter: "tag IS NOT NULL");

            migrationBuilder.Sql(AnalyticsSchema.Tables);
            migrationBuilder.Sql(AnalyticsSchema.Triggers);
            migrationBuilder.Sql(AnalyticsSchema.Recount);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql(AnalyticsSchema.Drop);

            migrationBuilder.DropIndex(
                name: "ix_notifications_app_no_status_id",
                table: "notifications");

            migrationBuilder.DropIndex(
                name: "ix_notifications_app_no_tag_id",
                table: "notifications");
        }
    }
}
