"""Let jobs fire at intervals of the calendar: every 2 weeks, every month.

Revision: 0020, after 0019

The column is empty, so that nothing is rewritten; on PostgreSQL its check reads `jobs` once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ALONE = (
    "every IS NULL OR (anchor_at IS NOT NULL"
    " AND cron IS NULL AND interval_seconds IS NULL AND at IS NULL)"
)


def upgrade() -> None:
    # The check stands with the column: SQLite cannot add it to the table in another way.
    check = sa.CheckConstraint(ALONE, name=op.f("ck_jobs_every_alone"))
    op.add_column("jobs", sa.Column("every", sa.String(length=16), check, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "every")
