"""History: the database's time for each list of runs, with twenty million runs on record.

The statements are the product's own. PostgreSQL reports the time and the plan of each
(EXPLAIN ANALYZE). The benchmark fails if a plan scans the table of runs. For comparison,
the same lists are timed on SQLite from outside, over fewer runs.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine, event, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from bench import report
from bench.servers import running
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState, Trigger
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Run
from jobs_app.jobs import explain, listing, service, stats
from jobs_app.jobs.explain_when import When
from jobs_app.runs import history, status
from jobs_app.runs.history import Filter, Position
from jobs_app.scheduler.pruner import Pruner
from jobs_app.web.metric_families import families

RUNS, QUICK_RUNS = 20_000_000, 200_000
#: SQLite gets this many times fewer runs.
SQLITE_SHARE = 40
JOBS = 200
END = datetime(2026, 11, 1, tzinfo=UTC)
SPAN = timedelta(days=90)

#: The API asks for one run more than a page shows, to see whether another page follows.
LIMIT = 51
#: Runs before the 1,000th page.
DEEP_OFFSET = 999 * 50

#: Retention is measured for at most this long, seconds, with runs that are a day too old.
RETENTION_SECONDS = 30.0

GOAL_MS = 5.0
ROUNDS = 5

#: Shares of the states in thousandths: the hash of a run's number decides its state.
STATES = (
    ("failed", 0, 27),
    ("timed_out", 27, 29),
    ("lost", 29, 30),
    ("cancelled", 30, 38),
    ("skipped", 38, 48),
    ("missed", 48, 52),
)
MESSAGES = (
    "exit code 1",
    "connection to db-main timed out",
    "the disk is full: /var/lib/reports",
    "HTTP 503 from api.example.org",
    "KeyError: customer_id",
)

#: SQL for both databases: {n} is the run's number, {h} its hash in [0, 1000).
_STATE = "CASE {} ELSE 'succeeded' END".format(
    " ".join(f"WHEN {{h}} >= {low} AND {{h}} < {high} THEN '{name}'" for name, low, high in STATES)
)
_TRIGGER = (
    "CASE WHEN {h} >= 980 AND {h} < 988 THEN 'manual' WHEN {h} = 988 THEN 'retry_of'"
    " WHEN {h} >= 990 THEN 'catchup' ELSE 'schedule' END"
)

_INSERT = """INSERT INTO runs (id, job_id, scheduled_for, state, trigger, triggered_by, note, fires,
    task, kwargs, queue, priority, time_limit_seconds, kill_grace_seconds, retry, max_attempts,
    is_exclusive, attempt, sends, worker_id, created_at, queued_at, started_at, finished_at,
    result, error, exit_code, log_bytes, log_truncated)"""

ATTEMPTS = """INSERT INTO run_attempts (run_id, attempt, state, started_at, finished_at, worker)
    SELECT id, 1, 'failed', created_at, created_at, 'w' FROM runs
    WHERE state = 'failed' AND exit_code = 1 AND mod(job_id, 10) = 0"""

#: Connections that fill PostgreSQL side by side.
FILLERS = 2

Query = Callable[[Session], object]


@dataclass(frozen=True)
class ListCost:
    """One list: milliseconds in the database, and the scans of its plans."""

    milliseconds: float
    plans: list[str]

    @property
    def has_scan(self) -> bool:
        """Whether a plan scans the table of runs."""
        return any("Seq Scan on runs" in plan or plan == "SCAN runs" for plan in self.plans)


def fill(database: Database, count: int, *, jobs: int = JOBS) -> None:
    """Insert *count* runs over 90 days: of *jobs* jobs, few failures, some started by hand."""
    at = END - SPAN
    with database.session() as session, session.begin():
        session.add_all(
            Job(
                name=f"job-{number:03}",
                task="shell",
                kwargs={"command": "python report.py"},
                cron="* * * * *",
                runs_started=count // jobs,
                created_at=at,
                updated_at=at,
            )
            for number in range(jobs)
        )
        common = {"pid": 1, "queues": ["default"], "seen_at": END}
        session.add_all(
            Worker(name=f"worker-{number}", started_at=at, gone_at=None, **common)
            for number in range(20)
        )
    with database.reading() as session:
        workers = [str(worker_id) for worker_id in session.scalars(select(Worker.id))]
    if database.engine.dialect.name == "postgresql":
        _fill_postgresql(database, count, workers, jobs)
    else:
        _fill_sqlite(database, count, workers, jobs)


def _fill_postgresql(database: Database, count: int, workers: list[str], jobs: int) -> None:
    indexes = _drop_indexes(database)
    bounds = [count * part // FILLERS for part in range(FILLERS + 1)]
    with ThreadPoolExecutor(FILLERS) as pool:
        fill_part = partial(_insert_runs, database, count, workers, jobs)
        list(pool.map(fill_part, bounds[:-1], bounds[1:]))
        list(pool.map(partial(_execute, database), [ATTEMPTS, *indexes]))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")


def _drop_indexes(database: Database) -> list[str]:
    """Drop the indexes of runs that belong to no constraint; return how to make them again."""
    with database.engine.begin() as connection:
        indexes = connection.exec_driver_sql(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'runs'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).all()
        for name, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
    return [definition for _, definition in indexes]


def _execute(database: Database, statement: str, parameters: dict[str, Any] | None = None) -> None:
    """Execute a long *statement*, and commit."""
    with database.engine.begin() as connection:
        for setting in (
            "statement_timeout = 0",
            "maintenance_work_mem = '512MB'",
            # No check of foreign keys for each row: a look at two tables for each of millions.
            "session_replication_role = replica",
        ):
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        connection.exec_driver_sql(statement, parameters)


def _insert_runs(
    database: Database, count: int, workers: list[str], jobs: int, first: int, end: int
) -> None:
    """Insert the runs from the number *first* on, and before *end*, of *count* in all."""
    step = SPAN / count / timedelta(milliseconds=1)
    hashed = "mod(n * 2654435761, 4294967296) / 4294968"
    state, trigger = _STATE.format(h="h"), _TRIGGER.format(h="h")
    _execute(
        database,
        f"""
{_INSERT}
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
    1 + mod(n, {jobs}), CASE WHEN h < 980 OR h >= 990 THEN at - interval '80 ms' END,
    state, {trigger},
    CASE WHEN h >= 980 AND h < 990 THEN 'ann' END,
    CASE WHEN h >= 980 AND h < 984 THEN 'by hand after incident ' || n END, 1, 'shell',
    '{{"command": "python report.py"}}', 'default', 5, 3600, 10,
    '{{"max_attempts": 1, "delay_seconds": 30}}', 1, true, 1, 0,
    (%(workers)s::uuid[])[1 + mod(n, 20)], at, at, at, at + interval '2 s',
    CASE WHEN state = 'succeeded' THEN '{{"exit_code": 0}}'::json END,
    CASE WHEN state IN ('failed', 'lost', 'timed_out') THEN
        json_build_object('type', 'CommandFailed', 'message',
            (%(messages)s::text[])[1 + mod(n, {len(MESSAGES)})] || ' in batch ' || n,
            'traceback', repeat('  File "report.py", line 10, in main' || chr(10), 12)) END,
    CASE WHEN state = 'failed' THEN 1 END, 500, false
FROM (
    SELECT n, h, at, {state} AS state FROM (
        SELECT n, {hashed} AS h, %(begin)s::timestamptz + n * interval '{step} ms' AS at
        FROM generate_series({first}::bigint, {end - 1}::bigint) AS n
    ) AS numbered
) AS with_state""",
        {"workers": workers, "messages": list(MESSAGES), "begin": END - SPAN},
    )


def _fill_sqlite(database: Database, count: int, workers: list[str], jobs: int) -> None:
    step = SPAN / count / timedelta(days=1)
    state, trigger = _STATE.format(h="h"), _TRIGGER.format(h="h")
    instant = "strftime('%Y-%m-%d %H:%M:%f000', {})"
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            f"""
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1}),
hashed AS (SELECT n, (n * 2654435761) % 4294967296 / 4294968 AS h,
    julianday(?) + n * {step} AS day FROM numbers),
with_state AS (SELECT n, h, day, {state} AS state, {instant.format("day")} AS at FROM hashed)
{_INSERT}
SELECT printf('%012x7%03x8%015x', CAST((day - 2440587.5) * 86400000 AS INTEGER),
        n % 4096, abs(n * 1103515245 + 12345) % 1000000007),
    1 + n % {jobs}, CASE WHEN h < 980 OR h >= 990 THEN at END, state, {trigger},
    CASE WHEN h >= 980 AND h < 990 THEN 'ann' END,
    CASE WHEN h >= 980 AND h < 984 THEN 'by hand after incident ' || n END, 1, 'shell',
    '{{"command": "python report.py"}}', 'default', 5, 3600, 10,
    '{{"max_attempts": 1, "delay_seconds": 30}}', 1, 1, 1, 0, ?, at, at, at, at,
    CASE WHEN state = 'succeeded' THEN '{{"exit_code": 0}}' END,
    CASE WHEN state IN ('failed', 'lost', 'timed_out') THEN
        json_object('type', 'CommandFailed', 'message', CASE n % {len(MESSAGES)}
            {" ".join(f"WHEN {n} THEN '{text}'" for n, text in enumerate(MESSAGES))} END
            || ' in batch ' || n, 'traceback', 'File report.py') END,
    CASE WHEN state = 'failed' THEN 1 END, 500, 0 FROM with_state""",
            ((END - SPAN).strftime("%Y-%m-%d %H:%M:%S"), workers[0].replace("-", "")),
        )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


JOB = "job-042"
HOUR = timedelta(hours=1)
LONG_AGO = END - timedelta(days=60)

FAILURES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)

#: The filters of GET /runs: each alone, and common combinations.
FILTERS: dict[str, Filter] = {
    "all": Filter(),
    "job": Filter(job=JOB),
    "state: failed": Filter(states=(RunState.FAILED,)),
    "state: succeeded": Filter(states=(RunState.SUCCEEDED,)),
    "state: lost, one in 1,000": Filter(states=(RunState.LOST,)),
    "state: running, none": Filter(states=(RunState.RUNNING,)),
    "three states": Filter(states=FAILURES),
    "trigger: schedule": Filter(triggers=(Trigger.SCHEDULE,)),
    "trigger: manual": Filter(triggers=(Trigger.MANUAL,)),
    "trigger: retry_of": Filter(triggers=(Trigger.RETRY_OF,)),
    "two triggers": Filter(triggers=(Trigger.MANUAL, Trigger.RETRY_OF)),
    "from": Filter(since=LONG_AGO),
    "to": Filter(until=LONG_AGO),
    "from and to, an hour": Filter(since=LONG_AGO, until=LONG_AGO + HOUR),
    "q, many": Filter(q="disk is full"),
    "q, a number that one has": Filter(q="123456"),
    "q, one, words that all have": Filter(q="in batch 123456"),
    "q, none": Filter(q="no such words"),
    "job, state": Filter(job=JOB, states=(RunState.FAILED,)),
    "job, state: lost": Filter(job=JOB, states=(RunState.LOST,)),
    "job, three states": Filter(job=JOB, states=FAILURES),
    "job, trigger: manual": Filter(job=JOB, triggers=(Trigger.MANUAL,)),
    "job, from and to": Filter(job=JOB, since=LONG_AGO, until=LONG_AGO + 24 * HOUR),
    "job, to": Filter(job=JOB, until=LONG_AGO),
    "state, from and to": Filter(states=FAILURES, since=LONG_AGO, until=LONG_AGO + 24 * HOUR),
    "trigger, from and to": Filter(
        triggers=(Trigger.MANUAL,), since=LONG_AGO, until=LONG_AGO + 24 * HOUR
    ),
    "job, q": Filter(job=JOB, q="disk is full"),
    "all of them": Filter(
        job=JOB,
        states=FAILURES,
        triggers=(Trigger.SCHEDULE,),
        since=LONG_AGO,
        until=END,
        q="disk is full",
    ),
}


def _last_runs(session: Session) -> object:
    jobs, _ = listing.page(session, listing.Filter(), after=None, limit=LIMIT, at=END)
    return listing.last_runs(session, [job.id for job, _ in jobs])


def _explained(session: Session) -> object:
    return explain.explain(session, JOB, When(LONG_AGO, HOUR), at=END)


def _stats(session: Session) -> object:
    return stats.of_job(session, service.get(session, JOB), last=100)


#: Other queries of the table of runs.
OTHER_QUERIES: dict[str, Query] = {
    "jobs with their last runs": _last_runs,
    "jobs whose last run failed": lambda session: listing.page(
        session, listing.Filter(last_state=(RunState.FAILED,)), after=None, limit=LIMIT, at=END
    ),
    "jobs whose last run was lost": lambda session: listing.page(
        session, listing.Filter(last_state=(RunState.LOST,)), after=None, limit=LIMIT, at=END
    ),
    "queues": lambda session: status.queues(session, limit=LIMIT),
    "workers": status.workers,
    "explain": _explained,
    "stats of a job": _stats,
    "scrape of /metrics": lambda session: list(families(session, at=END)),
}


@contextmanager
def captured(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent to *engine* inside the block."""
    statements: list[tuple[str, Any]] = []

    def note(
        _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement != "BEGIN":
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def measure(database: Database, query: Query) -> ListCost:
    """Return the median total time of the statements that *query* sends."""
    with captured(database.engine) as statements, database.reading() as session:
        query(session)
    time_statement = _analyze if database.engine.dialect.name == "postgresql" else _time
    with database.engine.connect() as connection:
        rounds = [
            [time_statement(connection, *statement) for statement in statements]
            for _ in range(ROUNDS)
        ]
    totals = [sum(milliseconds for milliseconds, _ in timings) for timings in rounds]
    plans = [scan for _, scans in rounds[-1] for scan in scans]
    return ListCost(round(report.median(totals), 3), plans)


def _analyze(connection: Connection, statement: str, parameters: Any) -> tuple[float, list[str]]:
    """Return PostgreSQL's execution time of a statement, milliseconds, and its plan's scans."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    (analysis,) = connection.exec_driver_sql(explained, parameters).scalar_one()
    return analysis["Execution Time"], list(_scans(analysis["Plan"]))


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    if "Relation Name" in plan:
        index = f" by {plan['Index Name']}" if "Index Name" in plan else ""
        yield f"{plan['Node Type']} on {plan['Relation Name']}{index}"
    elif "Index Name" in plan:
        yield f"{plan['Node Type']} by {plan['Index Name']}"
    for part in plan.get("Plans", ()):
        yield from _scans(part)


def _time(connection: Connection, statement: str, parameters: Any) -> tuple[float, list[str]]:
    """Return SQLite's time for the statement and its rows, milliseconds, and its plan's scans."""
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    began = time.perf_counter()
    connection.exec_driver_sql(statement, parameters).all()
    return (time.perf_counter() - began) * 1000, [row[-1] for row in rows]


def last_page(database: Database, condition: Filter) -> tuple[Position | None, str]:
    """Return where the 1,000th page begins (or the last one of a shorter list), and its number."""
    with database.reading() as session:
        jobs = history._jobs(session, condition)
        ids = history._ids(session, condition, jobs, before=None, limit=DEEP_OFFSET)
        page = DEEP_OFFSET // 50 if len(ids) == DEEP_OFFSET else (len(ids) - 1) // 50
        if page < 1:
            return None, "-"
        before = session.get_one(Run, ids[page * 50 - 1])
        return Position.of(before), f"{page + 1:,}"


def _page(condition: Filter, before: Position | None) -> Query:
    return lambda session: history.page(session, condition, before=before, limit=LIMIT)


def measure_all(database: Database) -> dict[str, dict[str, ListCost | str]]:
    """Measure the first page and the 1,000th (or last) page of each list."""
    costs: dict[str, dict[str, ListCost | str]] = {}
    for name, condition in FILTERS.items():
        before, number = last_page(database, condition)
        costs[name] = {"first": measure(database, _page(condition, None)), "page": number}
        if before is not None:
            costs[name]["deep"] = measure(database, _page(condition, before))
    for name, query in OTHER_QUERIES.items():
        costs[name] = {"first": measure(database, query), "page": "-"}
    return costs


@dataclass(frozen=True)
class Retention:
    """What the pruner deletes in a second of work, and its transactions in milliseconds.

    A pause as long as each of them follows, so that it deletes half as much in a second.
    """

    rows_per_second: float
    p50: float
    p99: float

    def as_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {"rows_per_second": self.rows_per_second, "p50_ms": self.p50, "p99_ms": self.p99}


def measure_retention(database: Database) -> Retention:
    """Prune runs that are past their retention, as the scheduler does, without its pauses."""
    keep_days = SPAN // timedelta(days=1) - 1
    pruner = Pruner(database, Settings(keep_days=keep_days, keep_runs=1_000_000_000))
    seconds: list[float] = []
    began = last = time.perf_counter()
    for _ in pruner.steps(at=END):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
        if now - began > RETENTION_SECONDS:
            break
    seconds.sort()
    return Retention(
        round(pruner.deleted / sum(seconds)),
        round(seconds[len(seconds) // 2] * 1000, 1),
        round(seconds[len(seconds) * 99 // 100] * 1000, 1),
    )


def run(*, quick: bool) -> None:
    """Fill both databases, measure the lists and the retention, and print the tables."""
    count = QUICK_RUNS if quick else RUNS
    results: dict[str, Any] = {}
    for kind, runs in (("postgresql", count), ("sqlite", count // SQLITE_SHARE)):
        with running() as servers, servers.database(kind) as url:
            began = time.monotonic()
            # One statement inserts millions of runs.
            patient = Database(url, answer_seconds=math.inf)
            fill(patient, runs)
            patient.close()
            database = Database(url)
            print(f"{kind}: {runs:,} runs in {time.monotonic() - began:.0f} s\n", flush=True)
            costs = measure_all(database)
            print(_table(costs) + "\n", flush=True)
            retention = measure_retention(database)
            print(f"{kind}: {retention}\n", flush=True)
            database.close()
        results[kind] = {"runs": runs, "retention": retention.as_json()} | _json(costs)
        if kind == "postgresql":
            scans = [name for name, by_page in costs.items() if _has_scan(by_page)]
            if scans:
                raise RuntimeError(f"scanned all runs: {', '.join(scans)}")
    report.save("history", results)


def _has_scan(by_page: dict[str, ListCost | str]) -> bool:
    return any(isinstance(cost, ListCost) and cost.has_scan for cost in by_page.values())


def _table(costs: dict[str, dict[str, ListCost | str]]) -> str:
    rows = []
    for name, by_page in costs.items():
        first, deep = by_page["first"], by_page.get("deep")
        assert isinstance(first, ListCost)
        plans = [plan for plan in dict.fromkeys(first.plans) if "runs" in plan]
        later = f"{deep.milliseconds:.2f}" if isinstance(deep, ListCost) else "-"
        rows.append(
            [name, f"{first.milliseconds:.2f}", str(by_page["page"]), later, (plans or ["-"])[0]]
        )
    headings = ["list", "first page, ms", "page", "that page, ms", "by"]
    return report.table(headings, rows)


def _json(costs: dict[str, dict[str, ListCost | str]]) -> dict[str, Any]:
    return {
        name: {
            key: cost if isinstance(cost, str) else {"ms": cost.milliseconds, "plans": cost.plans}
            for key, cost in by_page.items()
        }
        for name, by_page in costs.items()
    }
