"""Let a chunk of a log hold output of both streams.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run_logs", sa.Column("lengths", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("run_logs", "lengths")
