"""Give the database an id of its own, made once: whose entries are in Redis?

Revision: 0008, after 0007
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "installation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_installation_only_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_installation")),
    )
    op.execute(table.insert().values(number=1, id=uuid4()))


def downgrade() -> None:
    op.drop_table("installation")
