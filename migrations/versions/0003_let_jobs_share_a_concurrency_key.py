"""Let jobs share a concurrency key: at most so many of their runs at once.

Revision: 0003, after 0002

The new columns are empty, so that nothing is rewritten; on PostgreSQL their checks read
`runs` once, and its four indexes, which hold no row yet, read it once each.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY_WITH_LIMIT = (
    "CASE WHEN concurrency_key IS NULL THEN concurrency_limit IS NULL"
    " ELSE COALESCE(concurrency_limit, 0) >= 1 END"
)
PLACE_WITHIN_LIMIT = "concurrency_slot >= 1 AND concurrency_slot <= concurrency_limit"
RUNNING = "concurrency_key IS NOT NULL AND state = 'running'"
KEPT_WAITING = "concurrency_key IS NOT NULL AND state = 'queued' AND reason IS NOT NULL"
PARKED = f"{KEPT_WAITING} AND send_at IS NULL"
CALLED = f"{KEPT_WAITING} AND send_at IS NOT NULL"


def upgrade() -> None:
    # Each check stands with the last of the columns that it speaks of: SQLite can add it
    # to a table in no other way but by writing the table anew.
    op.add_column("jobs", sa.Column("concurrency_key", sa.String(length=100), nullable=True))
    op.add_column(
        "jobs",
        sa.Column(
            "concurrency_limit",
            sa.Integer(),
            sa.CheckConstraint(KEY_WITH_LIMIT, name=op.f("ck_jobs_key_with_limit")),
            nullable=True,
        ),
    )
    op.add_column("runs", sa.Column("concurrency_key", sa.String(length=100), nullable=True))
    op.add_column("runs", sa.Column("concurrency_limit", sa.Integer(), nullable=True))
    op.add_column(
        "runs",
        sa.Column(
            "concurrency_slot",
            sa.Integer(),
            sa.CheckConstraint(PLACE_WITHIN_LIMIT, name=op.f("ck_runs_place_within_limit")),
            nullable=True,
        ),
    )
    op.create_index(
        "ix_jobs_key",
        "jobs",
        ["concurrency_key"],
        postgresql_where=sa.text("concurrency_key IS NOT NULL"),
        sqlite_where=sa.text("concurrency_key IS NOT NULL"),
    )
    op.create_index(
        "uq_runs_slot",
        "runs",
        ["concurrency_key", "concurrency_slot"],
        unique=True,
        postgresql_where=sa.text(RUNNING),
        sqlite_where=sa.text(RUNNING),
    )
    op.create_index(
        "ix_runs_parked",
        "runs",
        ["concurrency_key", "concurrency_limit", "queue", "priority", "id"],
        postgresql_where=sa.text(PARKED),
        sqlite_where=sa.text(PARKED),
    )
    op.create_index(
        "ix_runs_kept_waiting",
        "runs",
        ["concurrency_key", "queue", "priority", "id"],
        postgresql_where=sa.text(KEPT_WAITING),
        sqlite_where=sa.text(KEPT_WAITING),
    )
    op.create_index(
        "ix_runs_called",
        "runs",
        ["concurrency_key", "queue"],
        postgresql_where=sa.text(CALLED),
        sqlite_where=sa.text(CALLED),
    )


def downgrade() -> None:
    op.drop_index("ix_runs_called", "runs")
    op.drop_index("ix_runs_kept_waiting", "runs")
    op.drop_index("ix_runs_parked", "runs")
    op.drop_index("uq_runs_slot", "runs")
    op.drop_index("ix_jobs_key", "jobs")
    # With the check that speaks of the others first.
    for table, column in (
        ("runs", "concurrency_slot"),
        ("runs", "concurrency_limit"),
        ("runs", "concurrency_key"),
        ("jobs", "concurrency_limit"),
        ("jobs", "concurrency_key"),
    ):
        op.drop_column(table, column)
