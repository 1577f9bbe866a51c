"""Note what a live worker cannot do: readyz reports it.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a default: on PostgreSQL this rewrites no row, and the lock is a moment's.
    op.add_column("workers", sa.Column("problem", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "problem")
