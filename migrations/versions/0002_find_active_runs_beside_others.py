"""Find a job's active runs that may be beside others, without its history.

Revision: 0002, after 0001

A plain CREATE INDEX: it locks `runs` against writes, for seconds on a million rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BESIDE = "NOT is_exclusive AND state IN ('queued', 'running', 'retrying')"


def upgrade() -> None:
    op.create_index(
        "ix_runs_beside",
        "runs",
        ["job_id"],
        postgresql_where=sa.text(BESIDE),
        sqlite_where=sa.text(BESIDE),
    )


def downgrade() -> None:
    op.drop_index("ix_runs_beside", "runs")
