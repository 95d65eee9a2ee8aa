using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class WholeFeed : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "categories",
                columns: table => new
                {
                    id = table.Column<string>(type: "text", nullable: false),
                    app_no = table.Column<int>(type: "integer", nullable: false),
                    category_id = table.Column<string>(type: "text", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false),
                    description = table.Column<string>(type: "text", nullable: true),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_categories", x => x.id);
                    table.UniqueConstraint("ak_categories_app_no_name", x => new { x.app_no, x.name });
                    table.ForeignKey(
                        name: "fk_categories_apps_app_no",
                        column: x => x.app_no,
                        principalTable: "apps",
                        principalColumn: "no",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "ix_templates_app_no_category",
                table: "templates",
                columns: new[] { "app_no", "category" });

            migrationBuilder.CreateIndex(
                name: "ix_categories_app_no_category_id",
                table: "categories",
                columns: new[] { "app_no", "category_id" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "ix_categories_app_no_id",
                table: "categories",
                columns: new[] { "app_no", "id" });

            // Before templates must name what is there.
            migrationBuilder.Sql(EngineSchema.WholeFeed);

            // A category's new name goes into its templates by itself.
            migrationBuilder.AddForeignKey(
                name: "fk_templates_categories_app_no_category",
                table: "templates",
                columns: new[] { "app_no", "category" },
                principalTable: "categories",
                principalColumns: new[] { "app_no", "name" },
                onUpdate: ReferentialAction.Cascade,
                onDelete: ReferentialAction.Restrict);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql(EngineSchema.DropWholeFeed);

            migrationBuilder.DropForeignKey(
                name: "fk_templates_categories_app_no_category",
                table: "templates");

            migrationBuilder.DropTable(
                name: "categories");

            migrationBuilder.DropIndex(
                name: "ix_templates_app_no_category",
                table: "templates");
        }
    }
}
