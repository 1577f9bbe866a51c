"""Find the runs that somebody has started.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEX = "ix_runs_triggered_by"
COLUMNS = ["triggered_by", sa.text("coalesce(scheduled_for, created_at)"), "id"]
HAS_NAME = sa.text("triggered_by IS NOT NULL")


def upgrade() -> None:
    op.create_index(INDEX, "runs", COLUMNS, postgresql_where=HAS_NAME, sqlite_where=HAS_NAME)


def downgrade() -> None:
    op.drop_index(INDEX, "runs")
