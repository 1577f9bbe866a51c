"""Add people with roles, owners and scopes of tokens, and arguments that a start may set.

Revision: 0012, after 0011
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=16, create_constraint=True)


COLUMNS = (
    ("tokens", "owner_id", sa.Integer()),
    ("tokens", "scopes", JSON),
    ("tokens", "tags", JSON),
    ("tokens", "last_used_address", sa.String(64)),
    ("jobs", "run_arguments", JSON),
    ("audit_events", "person_id", sa.Integer()),
    ("audit_events", "request_id", sa.String(36)),
    ("audit_events", "via", sa.String(8)),
)

#: The account of the file `admin-token`, and of all tokens that exist.
ADMIN = {"name": "admin", "kind": "service", "role": "admin", "grants": [], "version": 1}


def upgrade() -> None:
    people = op.create_table(
        "people",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", _one_of("kind", "person", "service"), nullable=False),
        sa.Column("role", _one_of("role", "viewer", "operator", "editor", "admin"), nullable=False),
        sa.Column("grants", JSON, nullable=False),
        sa.Column("tags", JSON, nullable=True),
        sa.Column("password_hash", sa.String(255), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sqlite_autoincrement=True,
    )
    is_there = sa.text("removed_at IS NULL")
    op.create_index(
        "uq_people_name",
        "people",
        [sa.text("lower(name)")],
        unique=True,
        postgresql_where=is_there,
        sqlite_where=is_there,
    )
    # Without defaults: on PostgreSQL this rewrites no row, and the locks are a moment's.
    for table, name, type_ in COLUMNS:
        op.add_column(table, sa.Column(name, type_, nullable=True))
    op.execute(people.insert().values(**ADMIN, created_at=datetime.now(UTC)))
    op.execute("UPDATE tokens SET owner_id = (SELECT id FROM people WHERE name = 'admin')")


def downgrade() -> None:
    # An older version lets each token do everything: only those that may, stay.
    op.execute(
        "DELETE FROM tokens WHERE CAST(scopes AS VARCHAR(99)) IS NOT NULL"
        " OR CAST(tags AS VARCHAR(99)) IS NOT NULL OR owner_id IS NULL OR owner_id NOT IN"
        " (SELECT id FROM people WHERE role = 'admin' AND disabled_at IS NULL"
        " AND removed_at IS NULL)"
    )
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(table, name)
    op.drop_table("people")
