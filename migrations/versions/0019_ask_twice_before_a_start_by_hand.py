"""Ask twice before a start by hand.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default of the server: a process of an older version does not name the column.
    column = sa.Column("confirm", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", column)


def downgrade() -> None:
    op.drop_column("jobs", "confirm")
