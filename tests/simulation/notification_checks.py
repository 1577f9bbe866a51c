"""A channel that gets every event, and the notifications that it must have at the end."""

from collections import Counter
from datetime import datetime
from uuid import UUID

from jobs_app.core.states import Event, RunState
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS
from tests.simulation.invariants import Checker
from tests.simulation.stage import Violation
from tests.simulation.store import Store

#: The events that a run with this outcome may cause.
EVENTS_OF = {
    RunState.SUCCEEDED: {Event.SUCCEEDED, Event.RECOVERED},
    RunState.FAILED: {Event.FAILED},
    RunState.TIMED_OUT: {Event.FAILED},
    RunState.LOST: {Event.LOST},
}
OUTCOMES = set().union(*EVENTS_OF.values())


def add_channel(store: Store, at: datetime) -> None:
    """Add a channel that gets every event of every job."""
    channel = NotificationChannel(
        name="all",
        kind="webhook",
        encrypted="",
        events=[event.value for event in SUBSCRIBABLE_EVENTS],
        is_default=True,
        created_at=at,
        updated_at=at,
    )
    with store.database.session() as session:
        session.add(channel)
        session.commit()


def check(store: Store, checker: Checker) -> None:
    """Check that each outcome and each missed fire has exactly one notification."""
    events_of_run: dict[UUID, list[Event]] = {}
    missed: Counter[int] = Counter()
    for run_id, job_id, event, fires in store.rows(
        "SELECT run_id, job_id, event, count FROM notifications"
    ):
        if event in OUTCOMES:
            events_of_run.setdefault(UUID(str(run_id)), []).append(Event(event))
        elif event == Event.MISSED:
            missed[job_id] += fires
    fires_of: Counter[int] = Counter()
    for run in checker.runs.values():
        if run.state is RunState.MISSED and run.job_id is not None:
            fires_of[run.job_id] += run.fires
        _check_run(checker, run.id, events_of_run.get(run.id, []))
    if missed != fires_of:
        raise Violation(f"fires missed by job: {fires_of}; in notifications: {missed}")


def _check_run(checker: Checker, run_id: UUID, events: list[Event]) -> None:
    run = checker.runs[run_id]
    expected = EVENTS_OF.get(run.state, set()) if run.job_id is not None else set()
    if not set(events) <= expected or len(events) > 1:
        raise Violation(f"{run} has the notifications {events}")
    # A run that ends after its job was deleted causes no notification.
    is_deleted = run.job_id is not None and checker.jobs[run.job_id].deleted_at is not None
    if expected and not events and not is_deleted:
        raise Violation(f"{run} has no notification")
