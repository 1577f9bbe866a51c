"""Let a pause end at an instant.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

#: The janitor: pauses that end.
INDEX = "ix_jobs_paused_until"
HAS_END = sa.text("paused_until IS NOT NULL")


def upgrade() -> None:
    # Without a default: on PostgreSQL this rewrites no row.
    op.add_column("jobs", sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(INDEX, "jobs", ["paused_until"], postgresql_where=HAS_END, sqlite_where=HAS_END)


def downgrade() -> None:
    op.drop_index(INDEX, "jobs")
    op.drop_column("jobs", "paused_until")
