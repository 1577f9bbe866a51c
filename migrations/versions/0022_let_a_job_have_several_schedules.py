"""Let a job have several schedules.

Revision: 0022, after 0021

The column is empty, so that nothing is rewritten; on PostgreSQL its check reads `jobs` once.
Going down keeps the first schedule of each job.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

FIRST = (
    "more_schedules IS NULL OR cron IS NOT NULL OR interval_seconds IS NOT NULL"
    " OR every IS NOT NULL OR at IS NOT NULL"
)


def upgrade() -> None:
    # The check stands with the column: SQLite cannot add it to the table in another way.
    check = sa.CheckConstraint(FIRST, name=op.f("ck_jobs_first_schedule_first"))
    op.add_column("jobs", sa.Column("more_schedules", sa.Text, check, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "more_schedules")
