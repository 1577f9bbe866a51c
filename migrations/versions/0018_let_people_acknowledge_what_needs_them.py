"""Let people acknowledge what needs attention.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acknowledgements",
        sa.Column("line", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("line", name="pk_acknowledgements"),
    )
    op.create_index("ix_acknowledgements_at", "acknowledgements", ["at"])


def downgrade() -> None:
    op.drop_table("acknowledgements")
