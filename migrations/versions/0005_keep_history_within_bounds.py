"""Keep history within bounds, and find any page of it by an index.

Revision: 0005, after 0004

Lists of runs are in the order of the instants that they are about; the indexes on ids go.
Plain CREATE INDEX: each locks `runs` against writes, for seconds on a million rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = "coalesce(scheduled_for, created_at)"
IS_OVER = "state IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'skipped', 'missed')"
STATES = (
    *("waiting", "queued", "running", "retrying", "succeeded", "failed"),
    *("timed_out", "cancelled", "lost", "skipped", "missed"),
)

#: The indexes on `runs`: their columns, and of which rows they are.
OLD = {
    "ix_runs_job": ("job_id, id", None),
    "ix_runs_state": ("state, id", None),
    "ix_runs_worker": ("worker_id", "state = 'running'"),
}
NEW = {
    "ix_runs_instant": (f"({INSTANT}), id", None),
    "ix_runs_job": (f"job_id, ({INSTANT}), id", None),
    "ix_runs_state": (f"state, ({INSTANT}), id", None),
    "ix_runs_outcome": (f"job_id, state, ({INSTANT}), id", IS_OVER),
    "ix_runs_trigger": (f"trigger, ({INSTANT}), id", "trigger <> 'schedule'"),
    "ix_runs_job_trigger": (f"job_id, trigger, ({INSTANT}), id", "trigger <> 'schedule'"),
    "ix_runs_said": (f"({INSTANT}), id", "note IS NOT NULL OR error IS NOT NULL"),
    "ix_runs_job_said": (f"job_id, ({INSTANT}), id", "note IS NOT NULL OR error IS NOT NULL"),
    "ix_runs_folded": ("job_id, scheduled_for", "fires > 1"),
    "ix_runs_retry_of": ("retry_of", "retry_of IS NOT NULL"),
    "ix_runs_worker": ("worker_id, state", "worker_id IS NOT NULL"),
}

# What a run says, for GET /runs?q=; the extension is part of PostgreSQL, and one that its
# owner did not install is done without.
WORDS = (
    "lower(coalesce(note, '') || ' ' || coalesce(error ->> 'type', '')"
    " || ' ' || coalesce(error ->> 'message', ''))"
)
TRIGRAMS = f"""
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX ix_runs_words ON runs USING gin (({WORDS}) gin_trgm_ops)
        WITH (fastupdate = off) WHERE note IS NOT NULL OR error IS NOT NULL;
EXCEPTION
    WHEN insufficient_privilege OR undefined_file OR undefined_object OR feature_not_supported
    THEN RAISE NOTICE 'without pg_trgm';
END
$$
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retention", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "runs", sa.Column("log_deleted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "forgotten_runs",
        sa.Column("job_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "state",
            sa.Enum(*STATES, name="state", native_enum=False, length=16, create_constraint=True),
            nullable=False,
        ),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("latest_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "state", name=op.f("pk_forgotten_runs")),
    )
    _replace(OLD, NEW)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(TRIGRAMS)


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_runs_words")
    _replace(NEW, OLD)
    op.drop_table("forgotten_runs")
    op.drop_column("runs", "log_deleted")
    op.drop_column("jobs", "retention")


def _replace(
    before: dict[str, tuple[str, str | None]], after: dict[str, tuple[str, str | None]]
) -> None:
    for name in before:
        op.execute(f"DROP INDEX {name}")
    for name, (columns, condition) in after.items():
        where = "" if condition is None else f" WHERE {condition}"
        op.execute(f"CREATE INDEX {name} ON runs ({columns}){where}")
