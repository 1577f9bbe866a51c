"""A long history of runs, and the query plans of statements on it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from sqlalchemy import event, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from tests.factories import MINUTE, NOON, make_worker

ERROR = {"type": "OSError", "message": "The disk is full", "traceback": "line 10, in main"}
RUNS = 20_000
JOBS = 100


def fill(database: Database) -> None:
    """Record 20,000 runs of 100 jobs, few of which failed or were started by hand."""
    make_worker(database)
    made = {"task": "sleep", "cron": "* * * * *", "created_at": NOON, "updated_at": NOON}
    with database.session() as session:
        session.execute(insert(Job), [made | {"name": f"job-{n}"} for n in range(JOBS)])
        session.commit()
        owners = list(session.scalars(select(Job.id)))
    common = {"task": "sleep", "kwargs": {}, "queue": "default", "is_exclusive": True}
    columns: dict[str, Any] = {"note": None, "error": None, "scheduled_for": None}
    rows = []
    for number in range(RUNS):
        at = NOON + number * MINUTE
        by_hand, is_failed = number % 97 == 0, number % 40 == 0
        row = common | columns | {"id": new_run_id(), "job_id": owners[number % JOBS]}
        row |= {"created_at": at, "started_at": at, "finished_at": at}
        row["trigger"] = Trigger.MANUAL if by_hand else Trigger.SCHEDULE
        row["state"] = RunState.FAILED if is_failed else RunState.SUCCEEDED
        row |= {"note": "by hand"} if by_hand else {"scheduled_for": at}
        row |= {"error": ERROR} if is_failed else {}
        rows.append(row)
    with database.session() as session:
        session.execute(insert(Run), rows)
        session.commit()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def captured(database: Database, *verbs: str) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that begin with one of *verbs* and are sent in the block."""
    sent: list[tuple[str, Any]] = []

    def note(
        _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.lstrip().startswith(verbs):
            # One statement for many rows has a list of their parameters: all have the same plan.
            one = parameters[0] if isinstance(parameters, list) else parameters
            sent.append((statement, one))

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


def plans(database: Database, work: Callable[[Session], object]) -> str:
    """Return the query plans of the statements of *work*."""
    with captured(database, "SELECT", "WITH") as statements, database.reading() as session:
        work(session)
    is_sqlite = database.engine.dialect.name == "sqlite"
    prefix = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    lines: list[str] = []
    with database.engine.connect() as connection:
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"{prefix} {statement}", parameters)
            lines += [str(row[-1]) for row in rows]
    # SQLite has no name for the index of a constraint; this is the second one.
    return "\n".join(lines).replace("sqlite_autoindex_runs_2", "uq_runs_fire")


def kept_plans(database: Database, work: Callable[[Session], object]) -> list[str]:
    """Return the generic query plans, for any values, of what *work* reads and changes.

    PostgreSQL caches the plan of a frequent statement, and that plan knows no values.
    """
    verbs = ("SELECT", "WITH", "UPDATE")
    with captured(database, *verbs) as statements, database.session() as session:
        work(session)
    explain = _of_sqlite if database.engine.dialect.name == "sqlite" else _of_postgresql
    with database.engine.connect() as connection:
        return [line for sent in statements for line in explain(connection, *sent)]


def _of_sqlite(connection: Connection, statement: str, parameters: tuple[object, ...]) -> list[str]:
    explained = f"EXPLAIN QUERY PLAN {statement}"
    rows = connection.exec_driver_sql(explained, (None,) * len(parameters)).all()
    return [str(row[-1]).replace("sqlite_autoindex_runs_2", "uq_runs_fire") for row in rows]


def _of_postgresql(connection: Connection, statement: str, _parameters: object) -> list[str]:
    numbers = count(1)
    numbered = re.sub(r"%\(\w+\)s", lambda _: f"${next(numbers)}", statement)
    nulls = ", ".join(["NULL"] * (next(numbers) - 1))
    connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE kept AS {numbered}")
    execute = f"EXECUTE kept ({nulls})" if nulls else "EXECUTE kept"
    rows = connection.exec_driver_sql(f"EXPLAIN {execute}").all()
    connection.exec_driver_sql("DEALLOCATE kept")
    return [str(row[0]) for row in rows]
