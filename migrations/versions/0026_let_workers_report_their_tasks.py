"""Let workers report their tasks.

Revision: 0026, after 0024

A new table, and a column without a default: neither rewrites the rows of workers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reported_tasks",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reported_tasks")),
    )
    op.add_column("workers", sa.Column("tasks", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "tasks")
    op.drop_table("reported_tasks")
