"""Count runs, fires and other events for /metrics.

Revision: 0029, after 0026

The counters begin at zero: the runs of before are not counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric_counters",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("job_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "job_id", "label", name="pk_metric_counters"),
    )
    op.create_table(
        "run_counting",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_run_counting_only_one")),
        sa.PrimaryKeyConstraint("number", name="pk_run_counting"),
    )
    op.create_table(
        "uncounted_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_uncounted_runs"),
    )


def downgrade() -> None:
    for table in ("uncounted_runs", "run_counting", "metric_counters"):
        op.drop_table(table)
