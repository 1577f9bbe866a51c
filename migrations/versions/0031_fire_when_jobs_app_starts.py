"""Let jobs fire when jobs-app starts.

Revision: 0031, after 0030

A check of `more_schedules` names the columns of the first schedule. SQLite cannot change it: there
the text of the table is changed, as in 0024. Going down leaves a job that fires on start by hand
only, and takes all schedules but the first from one that has such a schedule among others.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

ALONE = (
    "fires_on IS NULL OR (fires_on = 'start' AND cron IS NULL"
    " AND interval_seconds IS NULL AND every IS NULL AND at IS NULL)"
)
FIRST = (
    "more_schedules IS NULL OR cron IS NOT NULL OR interval_seconds IS NOT NULL"
    " OR every IS NOT NULL OR at IS NOT NULL"
)
OR_ON_START = f"{FIRST} OR fires_on IS NOT NULL"
CHECK = "ck_jobs_first_schedule_first"

DROP_MORE = """
UPDATE jobs SET more_schedules = NULL
WHERE fires_on IS NOT NULL OR more_schedules LIKE '%"on":"start"%'
"""


def upgrade() -> None:
    op.create_table(
        "starts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_starts")),
    )
    op.create_index("ix_starts_at", "starts", ["at"])
    # The check stands with the column: SQLite cannot add it to the table in another way.
    check = sa.CheckConstraint(ALONE, name=op.f("ck_jobs_on_start_alone"))
    op.add_column("jobs", sa.Column("fires_on", sa.String(length=16), check, nullable=True))
    _let_first_be(OR_ON_START, before=FIRST)


def downgrade() -> None:
    op.execute(DROP_MORE)
    _let_first_be(FIRST, before=OR_ON_START)
    op.drop_column("jobs", "fires_on")
    op.drop_table("starts")


def _let_first_be(condition: str, *, before: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f(CHECK), "jobs", type_="check")
        op.create_check_constraint(op.f(CHECK), "jobs", condition)
        return
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = connection.exec_driver_sql(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'jobs' AND instr(sql, ?)",
        (f"({before})", f"({condition})", f"({before})"),
    )
    if changed.rowcount != 1:
        raise RuntimeError(f"The table jobs has no check {CHECK}")
    # Other connections read the table again, then this one does.
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
