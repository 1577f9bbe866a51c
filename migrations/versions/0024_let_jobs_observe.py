"""Let a job watch: its fires are recorded as `observed`, and nothing runs.

Revision: 0024, after 0023

Checks name the states of runs. SQLite cannot change a check, and a copy of `runs` may take long:
there the text of the tables is changed, as https://www.sqlite.org/lang_altertable.html describes
for a change that no row depends on. PostgreSQL reads `runs` once to check it.
Going down pauses the jobs that watch, because the version before would run them, and deletes the
observed fires.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

BEFORE = (
    *("waiting", "queued", "running", "retrying", "succeeded", "failed"),
    *("timed_out", "cancelled", "lost", "skipped", "missed"),
)
AFTER = (*BEFORE, "observed")

#: The tables with states of runs.
TABLES = ("runs", "run_attempts", "forgotten_runs")

SINCE = "observe = (observing_since IS NOT NULL)"

PAUSE = """
UPDATE jobs SET state = 'paused', paused_at = CURRENT_TIMESTAMP, paused_by = 'jobs-app',
    paused_reason = 'It only watched, which this version does not know.',
    next_fire_at = NULL, next_due_at = NULL
WHERE observe AND state = 'active' AND deleted_at IS NULL
"""


def upgrade() -> None:
    # With a default of the server: a process of an older version does not name the column.
    observe = sa.Column("observe", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", observe)
    # The check stands with the column: SQLite cannot add it to the table in another way.
    check = sa.CheckConstraint(SINCE, name=op.f("ck_jobs_observes_since"))
    since = sa.Column("observing_since", sa.DateTime(timezone=True), check, nullable=True)
    op.add_column("jobs", since)
    _let_states_be(AFTER, before=BEFORE)


def downgrade() -> None:
    op.execute(PAUSE)
    for table in TABLES:
        op.execute(f"DELETE FROM {table} WHERE state = 'observed'")  # noqa: S608 (their names)
    _let_states_be(BEFORE, before=AFTER)
    op.drop_column("jobs", "observing_since")
    op.drop_column("jobs", "observe")


def _let_states_be(states: tuple[str, ...], *, before: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_sqlite_tables(_is_one_of(before), _is_one_of(states))
        return
    for table in TABLES:
        check = op.f(f"ck_{table}_state")
        op.drop_constraint(check, table, type_="check")
        op.create_check_constraint(check, table, _is_one_of(states))


def _is_one_of(states: tuple[str, ...]) -> str:
    return f"state IN ({', '.join(repr(state) for state in states)})"


def _rewrite_sqlite_tables(old: str, new: str) -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for table in TABLES:
        changed = connection.exec_driver_sql(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ? AND instr(sql, ?)",
            (old, new, table, old),
        )
        if changed.rowcount != 1:
            raise RuntimeError(f"The table {table} has no check {old!r}")
    # Other connections read the tables again, then this one does.
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
