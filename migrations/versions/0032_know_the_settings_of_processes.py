"""Know the version and the settings of processes.

Revision: 0032, after 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLES = ("workers", "schedulers")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("version", sa.String(64)))
        op.add_column(table, sa.Column("settings", sa.JSON()))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "settings")
        op.drop_column(table, "version")
