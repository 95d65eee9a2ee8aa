using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace CampaignService.Data.Migrations
{
    /// <inheritdoc />
    public partial class Users : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "devices",
                columns: table => new
                {
                    app_no = table.Column<int>(type: "integer", nullable: false),
                    user_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    device_id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    platform = table.Column<short>(type: "smallint", nullable: false),
                    name = table.Column<string>(type: "text", nullable: true),
                    token = table.Column<string>(type: "text", nullable: false),
                    token_hash = table.Column<byte[]>(type: "bytea", nullable: false),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_devices", x => new { x.app_no, x.user_id, x.device_id });
                    table.ForeignKey(
                        name: "fk_devices_apps_app_no",
                        column: x => x.app_no,
                        principalTable: "apps",
                        principalColumn: "no",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "token_cuts",
                columns: table => new
                {
                    app_no = table.Column<int>(type: "integer", nullable: false),
                    user_hash = table.Column<byte[]>(type: "bytea", nullable: false),
                    not_before = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_token_cuts", x => new { x.app_no, x.user_hash });
                });

            migrationBuilder.CreateTable(
                name: "users",
                columns: table => new
                {
                    app_no = table.Column<int>(type: "integer", nullable: false),
                    id = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    name = table.Column<string>(type: "text", nullable: true),
                    role = table.Column<string>(type: "text", nullable: true),
                    email = table.Column<string>(type: "text", nullable: true),
                    phone = table.Column<string>(type: "text", nullable: true),
                    language = table.Column<string>(type: "text", nullable: true),
                    timezone = table.Column<string>(type: "text", nullable: true),
                    avatar = table.Column<string>(type: "text", nullable: true),
                    attributes = table.Column<string>(type: "jsonb", nullable: true),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    updated_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    last_seen_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_users", x => new { x.app_no, x.id });
                    table.ForeignKey(
                        name: "fk_users_apps_app_no",
                        column: x => x.app_no,
                        principalTable: "apps",
                        principalColumn: "no",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateIndex(
                name: "ix_devices_app_no_token_hash",
                table: "devices",
                columns: new[] { "app_no", "token_hash" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "ix_token_cuts_not_before",
                table: "token_cuts",
                column: "not_before");

            migrationBuilder.CreateIndex(
                name: "ix_users_app_no_role_id",
                table: "users",
                columns: new[] { "app_no", "role", "id" },
                filter: "role IS NOT NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "devices");

            migrationBuilder.DropTable(
                name: "token_cuts");

            migrationBuilder.DropTable(
                name: "users");
        }
    }
}
