"""Keep the definitions that a job has had.

Revision: 0013, after 0012

Jobs that exist get their first revision at their next change: the state before it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "job_revisions",
        sa.Column("job_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("changed", JSON, nullable=False),
        sa.Column("by", sa.String(200), nullable=True),
        sa.Column("via", sa.String(8), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_revisions")),
    )


def downgrade() -> None:
    op.drop_table("job_revisions")
