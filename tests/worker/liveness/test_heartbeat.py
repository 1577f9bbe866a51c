"""The heartbeat: no row and no message keeps a worker from its heartbeats."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import Worker
from jobs_app.runs.workers import Registration
from jobs_app.worker.liveness import stalled_runs
from jobs_app.worker.liveness.active_runs import ActiveRuns
from jobs_app.worker.liveness.forced_cancellation import ForcedCancellation
from jobs_app.worker.liveness.heartbeat import Heartbeat
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.orphans import Orphans
from jobs_app.worker.liveness.stalled_runs import StalledRuns
from tests.factories import NOON, claim, make_run, run
from tests.servers import wait_until


@pytest.fixture
def active_runs() -> ActiveRuns:
    return ActiveRuns()


@pytest.fixture
def lease() -> Lease:
    return Lease(20)


@pytest.fixture
def registered(database: Database, lease: Lease, active_runs: ActiveRuns) -> Heartbeat:
    """A heartbeat of many beats a second that has not begun."""
    registration = Registration("worker@test", 1, ("default",), 2, "prefork")
    heartbeat = Heartbeat(
        database,
        lease,
        registration,
        seconds=0.05,
        stalled_runs=StalledRuns(active_runs),
        forced_cancellation=ForcedCancellation(lease, active_runs.attempts),
    )
    heartbeat.register()
    return heartbeat


@pytest.fixture
def heartbeat(registered: Heartbeat) -> Iterator[Heartbeat]:
    """A heartbeat of many beats a second."""
    registered.start()
    yield registered
    registered.stop()


def beats(database: Database, worker_id: UUID) -> int:
    with database.reading() as session:
        return session.get_one(Worker, worker_id).beats


def wait_for_beats(database: Database, lease: Lease) -> None:
    before = beats(database, lease.worker_id)
    wait_until(lambda: beats(database, lease.worker_id) > before + 3, "the heart beats")


def make_unreadable(database: Database, run_id: UUID) -> None:
    """Give a run a retry policy that this version does not know."""
    with database.session() as session:
        statement = text("""UPDATE runs SET retry = '{"no such field": 1}' WHERE id = :id""")
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        session.execute(statement, {"id": run_id.hex if is_sqlite else run_id})
        session.commit()


class LatePrograms(Orphans):
    """A pool process that dies right after the first look, and leaves a program for a while."""

    def __init__(self, state: Callable[[], RunState]) -> None:
        self._state = state
        self.states: list[RunState] = []

    def check(self) -> None:
        self.states.append(self._state())

    @property
    def is_ending(self) -> bool:
        return 2 <= len(self.states) < 6


def test_an_attempt_does_not_end_before_programs_that_were_seen_late(
    database: Database, registered: Heartbeat, lease: Lease
) -> None:
    run_id = make_run(database)
    programs = LatePrograms(lambda: run(database, run_id).state)
    registered._orphans = programs
    assert claim(database, run_id, lease.worker_id) is not None
    registered.report_dead(run_id, 1, "killed")

    registered.start()
    wait_until(lambda: run(database, run_id).state is RunState.LOST, "it is lost")
    registered.stop()

    assert programs.states[:6] == 6 * [RunState.RUNNING]


def test_a_worker_that_is_stopped_before_it_was_ready_signs_off(
    database: Database, lease: Lease, registered: Heartbeat
) -> None:
    registered.stop()

    with database.reading() as session:
        assert session.get_one(Worker, lease.worker_id).gone_at is not None


def test_a_dead_attempt_whose_row_cannot_be_read_ends_and_delays_nothing(
    database: Database, heartbeat: Heartbeat, lease: Lease
) -> None:
    unreadable, other = make_run(database), make_run(database)
    for run_id in (unreadable, other):
        assert claim(database, run_id, lease.worker_id) is not None
    make_unreadable(database, unreadable)

    heartbeat.report_dead(unreadable, 1, "killed")
    heartbeat.report_dead(other, 1, "killed")

    wait_until(lambda: run(database, other).state is RunState.LOST, "the other one is lost")
    wait_until(lambda: run(database, unreadable).state is RunState.LOST, "it is lost, too")
    wait_for_beats(database, lease)


@pytest.mark.parametrize("attempt", [2**31, 2**63, 10**30, -1])
def test_an_attempt_that_no_column_takes_delays_no_heartbeat(
    database: Database, heartbeat: Heartbeat, lease: Lease, attempt: int
) -> None:
    run_id = make_run(database)
    assert claim(database, run_id, lease.worker_id) is not None

    heartbeat.report_dead(run_id, attempt, "forged")
    heartbeat.report_dead(uuid4(), attempt, "forged")
    heartbeat.report_dead(run_id, 1, "killed")

    wait_until(lambda: run(database, run_id).state is RunState.LOST, "the real one is lost")
    wait_for_beats(database, lease)


def test_another_workers_attempt_is_left_alone_even_if_its_row_cannot_be_read(
    database: Database, heartbeat: Heartbeat, lease: Lease
) -> None:
    heartbeat_worker = lease.worker_id
    with database.session() as session:
        other_worker = Worker(name="other@test", pid=2, started_at=NOON, seen_at=NOON)
        session.add(other_worker)
        session.commit()
    run_id, mine = make_run(database), make_run(database)
    assert claim(database, run_id, other_worker.id) is not None
    assert claim(database, mine, heartbeat_worker) is not None
    make_unreadable(database, run_id)

    heartbeat.report_dead(run_id, 1, "had the copy that lost")
    heartbeat.report_dead(mine, 1, "killed")

    wait_until(lambda: run(database, mine).state is RunState.LOST, "what came later is done")
    assert run(database, run_id).state is RunState.RUNNING


def test_a_cancel_request_that_cannot_be_read_delays_no_heartbeat(
    database: Database,
    heartbeat: Heartbeat,
    lease: Lease,
    active_runs: ActiveRuns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stalled_runs, "STALLED_POLL_SECONDS", 0.05)
    run_id = make_run(database)
    assert claim(database, run_id, lease.worker_id) is not None
    with database.session() as session:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("PRAGMA ignore_check_constraints = ON"))
        else:
            session.execute(text("ALTER TABLE runs DROP CONSTRAINT ck_runs_cancel_mode"))
        session.execute(text("UPDATE runs SET cancel_mode = 'as a newer one'"))
        session.commit()
    active_runs.begin(run_id, 1)

    wait_for_beats(database, lease)
    active_runs.end()


def test_a_worker_that_cannot_be_registered_says_so_at_once(
    database: Database, active_runs: ActiveRuns
) -> None:
    bad: Any = Registration("worker@test", 10**30, ("default",), 2, "prefork")
    lease = Lease(20)
    heartbeat = Heartbeat(
        database,
        lease,
        bad,
        seconds=1,
        stalled_runs=StalledRuns(active_runs),
        forced_cancellation=ForcedCancellation(lease, active_runs.attempts),
    )

    with pytest.raises(Exception, match=r"too large|out of range"):
        heartbeat.register()
