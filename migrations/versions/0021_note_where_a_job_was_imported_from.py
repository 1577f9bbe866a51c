"""Note where a job was imported from.

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("origin", sa.String(200)))


def downgrade() -> None:
    op.drop_column("jobs", "origin")
