"""A long history, and how the databases go about their statements with it."""

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
    """Collect the statements that are sent meanwhile and begin with one of *verbs*."""
    sent: list[tuple[str, Any]] = []

    def note(
        _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.lstrip().startswith(verbs):
            sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


def plans(database: Database, work: Callable[[Session], object]) -> str:
    """Return how the database goes about the statements of *work*."""
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
    """Return how the database goes about what *work* reads and changes, whatever the values are.

    PostgreSQL keeps the plan of a statement that comes often, and then knows no value of it.
    """
    verbs = ("SELECT", "WITH", "UPDATE")
    with captured(database, *verbs) as statements, database.session() as session:
        work(session)
    explain = _of_sqlite if database.engine.dialect.name == "sqlite" else _of_postgresql
    with database.engine.connect() as connection:
        return [line for told in statements for line in explain(connection, *told)]


def _of_sqlite(connection: Connection, statement: str, given: tuple[object, ...]) -> list[str]:
    explained = f"EXPLAIN QUERY PLAN {statement}"
    rows = connection.exec_driver_sql(explained, (None,) * len(given)).all()
    return [str(row[-1]).replace("sqlite_autoindex_runs_2", "uq_runs_fire") for row in rows]


def _of_postgresql(connection: Connection, statement: str, _given: object) -> list[str]:
    places = count(1)
    numbered = re.sub(r"%\(\w+\)s", lambda _: f"${next(places)}", statement)
    nothing = ", ".join(["NULL"] * (next(places) - 1))
    connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE kept AS {numbered}")
    execute = f"EXECUTE kept ({nothing})" if nothing else "EXECUTE kept"
    rows = connection.exec_driver_sql(f"EXPLAIN {execute}").all()
    connection.exec_driver_sql("DEALLOCATE kept")
    return [str(row[0]) for row in rows]
