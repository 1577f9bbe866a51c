"""The real database of a simulation, with a point before each statement and commit."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import lru_cache
from threading import Thread, current_thread
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from jobs_app.db.engine import Database
from tests.simulation.stage import Actor, Stage

#: How long a scenario waits for a lock that it holds itself, milliseconds.
IMPATIENCE = 30

#: A statement that takes this long may be waiting for a lock.
LOOK_SECONDS = 0.01

_WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

TABLES = (
    "notifications",
    "notification_channels",
    "run_logs",
    "run_attempts",
    "audit_events",
    "idempotency_keys",
    "schedulers",
    "runs",
    "workers",
    "job_revisions",
    "jobs",
)


class Witness:
    """Sees each statement for the database, and may change it: mutants use this."""

    def statement(self, statement: str) -> str:
        """Return what the database is to execute instead of *statement*."""
        return statement

    def commits(self) -> bool:
        """Tell whether the commit that is asked for is to take place."""
        return True

    def publishes(self) -> None:
        """Learn that messages are being sent."""


class Store:
    """A database that many simulations use, one after the other.

    SQLite has one writer at a time and the others wait in the driver, so there a turn
    ends only outside of writing transactions; faults happen anywhere. PostgreSQL
    has its points everywhere; an actor that waits for a lock is passed over meanwhile.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=30)
        self.engine: Engine = self.database.engine
        pool: Any = self.engine.pool
        # An actor that reads after its commit gets the same connection, even after a delay.
        pool._pool.use_lifo = True
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.stage: Stage | None = None
        self.witness = Witness()
        #: Threads outside the stage, which may wait for actors on it.
        self.unscheduled: set[Thread] = set()
        self._held_back: list[Any] = []
        #: The number of changes of each SQLite connection when its transaction began.
        self._changes: dict[int, int] = {}
        event.listen(self.engine, "before_cursor_execute", self._before_statement, retval=True)
        if not self.is_sqlite:
            event.listen(self.engine, "do_execute", self._execute_one)
            event.listen(self.engine, "do_executemany", self._execute_many)
        self._beside = ThreadPoolExecutor(max_workers=30)
        dialect: Any = self.engine.dialect
        self._really_commit = dialect.do_commit
        self._really_roll_back = dialect.do_rollback
        dialect.do_commit = self._commit
        dialect.do_rollback = self._roll_back
        self.raw: Any = self.engine.raw_connection()

    def close(self) -> None:
        """Close all connections."""
        self._beside.shutdown()
        self.raw.close()
        self.database.close()

    def begin(self, stage: Stage) -> None:
        """Empty the database, for *stage* to use it."""
        self.stage = None
        with self.engine.begin() as connection:
            for table in TABLES:
                connection.exec_driver_sql(f"DELETE FROM {table}")
            if self.is_sqlite:
                connection.exec_driver_sql("DELETE FROM sqlite_sequence")
            else:
                connection.exec_driver_sql("ALTER SEQUENCE jobs_id_seq RESTART")
        self.stage = stage

    def end(self) -> None:
        """Detach the stage: statements have no points any more."""
        self.stage = None
        while self._held_back:
            # The engine is connected: its driver is loaded.
            with suppress(self.engine.dialect.dbapi.Error):  # type: ignore[union-attr]
                self._really_roll_back(self._held_back.pop())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the committed rows, without a point on the stage."""
        cursor = self.raw.cursor()
        try:
            cursor.execute(statement)
            return list(cursor.fetchall())
        finally:
            cursor.close()
            if not self.is_sqlite:
                self.raw.rollback()

    def _before_statement(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        _context: object,
        _executemany: bool,
    ) -> tuple[str, Any]:
        stage = self.stage
        if stage is None:
            return statement, parameters
        if current_thread() in self.unscheduled:
            return self.witness.statement(statement), parameters
        actor = stage.current
        may_switch = not (self.is_sqlite and actor.is_writing)
        if statement == "BEGIN":
            return statement, parameters
        if statement == "BEGIN IMMEDIATE" and _raw(connection.connection) in self._held_back:
            return "SELECT 1", parameters
        stage.point(_brief(statement), may_switch=may_switch)
        if stage.happens(stage.fault_rates.no_database):
            stage.note("the database does not answer")
            raise OperationalError(statement, None, ConnectionError("simulated"))
        if stage.is_impatient and not self.is_sqlite:
            cursor.execute(f"SET LOCAL lock_timeout = {IMPATIENCE}")
        if not actor.is_in_transaction:
            actor.is_in_transaction, actor.began_after = True, stage.commits
        actor.touched |= _touched(statement)
        if statement == "BEGIN IMMEDIATE" or not self.is_sqlite:
            actor.is_writing = True
        if statement == "BEGIN IMMEDIATE":
            raw = _raw(connection.connection)
            self._changes[id(raw)] = raw.total_changes
        return self.witness.statement(statement), parameters

    def _execute_one(
        self, cursor: Any, statement: str, parameters: Any, _context: object
    ) -> bool | None:
        return self._execute_beside(cursor, cursor.execute, statement, parameters)

    def _execute_many(
        self, cursor: Any, statement: str, parameters: Any, _context: object
    ) -> bool | None:
        return self._execute_beside(cursor, cursor.executemany, statement, parameters)

    def _execute_beside(
        self, cursor: Any, execute: Callable[..., Any], statement: str, parameters: Any
    ) -> bool | None:
        """Execute in a thread beside, so that others may go on while a lock is waited for."""
        stage = self.stage
        if stage is None or stage.current is stage.main or current_thread() in self.unscheduled:
            return None
        done = self._beside.submit(execute, statement, parameters)
        pid = cursor.connection.info.backend_pid
        if self._is_waiting(done, pid):
            stage.wait_for_lock(lambda: self._is_waiting(done, pid))
        done.result()
        return True

    def _is_waiting(self, done: "Future[Any]", pid: int) -> bool:
        """Tell whether a statement waits for a lock, as soon as it is done or does."""
        while not wait([done], timeout=LOOK_SECONDS).done:
            if self.rows(f"SELECT 1 WHERE pg_blocking_pids({pid}) <> '{{}}'"):
                return True
        return False

    def _commit(self, connection: Any) -> None:
        stage = self.stage
        if stage is None or current_thread() in self.unscheduled:
            self._really_commit(connection)
            return
        actor = stage.current
        if self._has_changed(connection) and not self.witness.commits():
            self._held_back.append(_raw(connection))
            return
        was_writing = actor.is_writing
        if was_writing:
            stage.point("COMMIT", may_switch=not self.is_sqlite)
        self._really_commit(connection)
        actor.is_writing = actor.is_in_transaction = False
        touched, actor.touched = actor.touched, frozenset()
        if not was_writing:
            return
        stage.commits += 1
        stage.on_commit(actor, touched)
        if stage.happens(stage.fault_rates.unanswered_commit):
            stage.note("never hears that its commit was done")
            raise self.driver_error()

    @contextmanager
    def meanwhile(self, action: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Have *action* happen beside the stage (PostgreSQL); it is over in the end.

        What is returned lets it begin, and comes back when it is done or waits for a lock.
        """
        thread = Thread(target=action, daemon=True)
        self.unscheduled.add(thread)

        def begin() -> None:
            thread.start()
            while thread.is_alive() and not self.rows(_WAITING):
                thread.join(LOOK_SECONDS)

        try:
            yield begin
            thread.join()
        finally:
            self.unscheduled.discard(thread)

    def _has_changed(self, connection: Any) -> bool:
        """Tell whether a transaction has changed any row, as far as the driver knows."""
        raw = _raw(connection)
        return not self.is_sqlite or raw.total_changes != self._changes.get(id(raw))

    def _roll_back(self, connection: Any) -> None:
        if _raw(connection) in self._held_back:
            return
        self._really_roll_back(connection)
        if self.stage is not None and current_thread() not in self.unscheduled:
            actor: Actor = self.stage.current
            actor.is_writing = actor.is_in_transaction = False
            actor.touched = frozenset()

    def driver_error(self) -> Exception:
        dbapi: Any = self.engine.dialect.dbapi
        error: Exception = dbapi.OperationalError("simulated: the connection is gone")
        return error


def _raw(connection: Any) -> Any:
    """Return the driver's connection: its wrapper goes when it is given back to the pool."""
    return getattr(connection, "dbapi_connection", connection)


@lru_cache(maxsize=4096)
def _touched(statement: str) -> frozenset[str]:
    """Return the tables that a statement may change: all of them if rows go, with what they own."""
    words = statement.split(maxsplit=3)
    match words[0]:
        case "UPDATE":
            return frozenset(words[1:2])
        case "INSERT":
            return frozenset(words[2:3])
        case "SELECT" | "BEGIN":
            return frozenset()
        case "WITH" if not re.search(r"\b(?:UPDATE|INSERT|DELETE)\b", statement):
            return frozenset()
    return frozenset(TABLES)


@lru_cache(maxsize=4096)
def _brief(statement: str) -> str:
    """Return *statement* as a trace shows it: what it does to which table."""
    words = statement.split()
    verb = words[0]
    if verb == "SELECT" and "FROM" in words:
        return f"SELECT … FROM {words[words.index('FROM') + 1]}"
    if verb in ("UPDATE", "INSERT", "DELETE"):
        return " ".join(words[:4])
    return " ".join(words[:2])
