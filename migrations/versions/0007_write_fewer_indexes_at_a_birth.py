"""Write fewer indexes when a run is recorded.

Revision: 0007, after 0006

What is over is told by its end, not by its state, and has the indexes of lists for itself.
A job's runs are listed by its fires, which are unique, and by an index of what had none.
Plain CREATE INDEX: each locks `runs` against writes, for seconds on a million rows.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FINAL = "('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'skipped', 'missed')"
INSTANT = "coalesce(scheduled_for, created_at)"

END_THE_OVER = """
UPDATE runs SET finished_at = coalesce(started_at, created_at) WHERE finished_at IS NULL AND state
    IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'skipped', 'missed')
"""
OPEN_THE_OTHERS = """
UPDATE runs SET finished_at = NULL WHERE finished_at IS NOT NULL AND state
    IN ('waiting', 'queued', 'running', 'retrying')
"""

#: The indexes on `runs`: their columns, and of which rows they are.
OLD = {
    "ix_runs_send_at": ("send_at", "state = 'queued'"),
    "ix_runs_instant": (f"({INSTANT}), id", None),
    "ix_runs_job": (f"job_id, ({INSTANT}), id", None),
    "ix_runs_state": (f"state, ({INSTANT}), id", None),
    "ix_runs_outcome": (f"job_id, state, ({INSTANT}), id", f"state IN {FINAL}"),
}
NEW = {
    "ix_runs_send_at": ("send_at", "send_at IS NOT NULL"),
    "ix_runs_instant": (f"({INSTANT}), id", "finished_at IS NOT NULL"),
    "ix_runs_state": (f"state, ({INSTANT}), id", "finished_at IS NOT NULL"),
    "ix_runs_unfinished": (f"state, ({INSTANT}), id", "finished_at IS NULL"),
    "ix_runs_outcome": (f"job_id, state, ({INSTANT}), id", "finished_at IS NOT NULL"),
    "ix_runs_awaited": ("job_id", "state = 'waiting'"),
    "ix_runs_without_fire": ("job_id, created_at, id", "NOT (scheduled_for IS NOT NULL)"),
}


def upgrade() -> None:
    # Nothing writes such rows. One that came from elsewhere would be in no list.
    op.execute(END_THE_OVER)
    op.execute(OPEN_THE_OTHERS)
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(
    before: dict[str, tuple[str, str | None]], after: dict[str, tuple[str, str | None]]
) -> None:
    for name in before:
        op.execute(f"DROP INDEX {name}")
    for name, (columns, condition) in after.items():
        where = "" if condition is None else f" WHERE {condition}"
        op.execute(f"CREATE INDEX {name} ON runs ({columns}){where}")
