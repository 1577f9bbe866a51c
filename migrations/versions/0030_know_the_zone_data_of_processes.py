"""Know the zone data of processes.

Revision: 0030, after 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("tzdata", sa.String(32)))
    op.add_column("schedulers", sa.Column("tzdata", sa.String(32)))
    op.create_table(
        "zone_files",
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("zone", name="pk_zone_files"),
    )


def downgrade() -> None:
    op.drop_table("zone_files")
    op.drop_column("schedulers", "tzdata")
    op.drop_column("workers", "tzdata")
